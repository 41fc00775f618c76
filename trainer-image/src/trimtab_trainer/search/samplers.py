"""The samplers of optuna that the manifest's algorithms stand for.

Made anew by the study before every ask, from the seed, the number of the trial and the count of
draws for it: so they hold no state that a restart would lose.
"""

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial
from typing_extensions import override

from trimtab_api.feasibility import TrialLimit
from trimtab_api.v1alpha1.search import SearchAlgorithm, Surrogate
from trimtab_trainer.search.gaussian import GaussianProcessSampler
from trimtab_trainer.search.seeds import derive_seed
from trimtab_trainer.search.space import Point, Space
from trimtab_trainer.search.studies import create_study

__all__ = ["build_sampler", "draw_random"]


def build_sampler(
    algorithm: SearchAlgorithm,
    space: Space,
    limits: Sequence[TrialLimit],
    *,
    seed: int,
    number: int,
    draw: int,
) -> BaseSampler:
    """Return the sampler for one draw.

    TPE is Watanabe's, as optuna has it: multivariate for one objective, with running trials
    counted as bad ones so that parallel trials spread out.

    Args:
        algorithm: What the manifest asks for; a grid samples nothing and gets the random one.
        space: What is searched.
        limits: What the outcomes that the study is told have constraints for.
        seed: The job's.
        number: Of the trial, counted from 0.
        draw: Of this trial, counted from 0.
    """
    derived = derive_seed(seed, number, draw)
    if algorithm.bayesian is None:
        return RandomSampler(seed=derived)
    startup = algorithm.bayesian.startup_trials
    match algorithm.bayesian.surrogate:
        case Surrogate.TPE:
            return _KnownSpaceSampler(TPESampler(seed=derived, n_startup_trials=startup), space)
        case Surrogate.GAUSSIAN_PROCESS:
            return GaussianProcessSampler(
                space.distributions,
                limits=[limit.name for limit in limits],
                seed=derived,
                startup_trials=startup,
            )


def draw_random(space: Space, seed: int, number: int) -> Point:
    """Return the point that random search would try as this trial."""
    study = create_study(sampler=RandomSampler(seed=derive_seed(seed, number, 0)))
    return space.decode(study.ask(space.distributions).params)


class _KnownSpaceSampler(BaseSampler):
    """TPE that is told the space, which a fresh one finds by comparing all trials: half its time.

    Only with several objectives does optuna's TPE look at each parameter by itself.
    """

    def __init__(self, tpe: TPESampler, space: Space) -> None:
        self._tpe = tpe
        # In optuna's order, on which the draws depend.
        named = sorted(space.distributions.items())
        self._joint = {name: dist for name, dist in named if not dist.single()}

    @override
    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._joint if len(study.directions) == 1 else {}

    @override
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    @override
    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)
