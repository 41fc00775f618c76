"""The samplers of optuna that the manifest's algorithms stand for.

Called by the study before every ask: a sampler is made anew from the seed, the number of the
trial and the count of draws for it, and so holds no state that a restart would lose.
"""

from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from trimtab_api.v1alpha1.search import SearchAlgorithm, Surrogate
from trimtab_trainer.search.seeds import derive_seed

__all__ = ["build_sampler"]


def build_sampler(algorithm: SearchAlgorithm, seed: int, number: int, draw: int) -> BaseSampler:
    """Return the sampler for one draw.

    TPE is Watanabe's, as optuna has it: multivariate for one objective, with running trials
    counted as bad ones so that parallel trials spread out.

    Args:
        algorithm: What the manifest asks for; a grid samples nothing and gets the random one.
        seed: The job's.
        number: Of the trial, counted from 0.
        draw: Of this trial, counted from 0.
    """
    derived = derive_seed(seed, number, draw)
    if algorithm.bayesian is None:
        return RandomSampler(seed=derived)
    match algorithm.bayesian.surrogate:
        case Surrogate.TPE:
            startup = algorithm.bayesian.startup_trials
            return TPESampler(seed=derived, n_startup_trials=startup)
