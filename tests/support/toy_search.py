"""A search without training: parameters, a quadratic objective, and a loop over a study."""

from collections.abc import Sequence

from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import (
    Bayesian,
    Categorical,
    Grid,
    LogUniform,
    NumberType,
    Parameter,
    Random,
    SearchAlgorithm,
    SearchSpace,
    Uniform,
)
from trimtab_trainer.search.study import Study

__all__ = [
    "ALGORITHMS",
    "BAYESIAN",
    "GRID",
    "LOSS",
    "RANDOM",
    "categorical",
    "make_study",
    "score",
    "uniform",
]

GRID = SearchAlgorithm(grid=Grid())
RANDOM = SearchAlgorithm(random=Random())
BAYESIAN = SearchAlgorithm(bayesian=Bayesian(startup_trials=3))
ALGORITHMS = {"grid": GRID, "random": RANDOM, "bayesian": BAYESIAN}

LOSS = Objective(metric="loss", direction=Direction.MINIMIZE)


def uniform(
    name: str,
    low: float,
    high: float,
    *,
    step: float | None = None,
    kind: NumberType = NumberType.FLOAT,
    log: bool = False,
) -> Parameter:
    space = (
        SearchSpace(log_uniform=LogUniform(min=low, max=high, type=kind))
        if log
        else SearchSpace(uniform=Uniform(min=low, max=high, step=step, type=kind))
    )
    return Parameter(name=f"train.{name}", search_space=space)


def categorical(name: str, *choices: Scalar) -> Parameter:
    return Parameter(
        name=f"train.{name}", search_space=SearchSpace(categorical=Categorical(choices=choices))
    )


def make_study(
    *parameters: Parameter,
    algorithm: SearchAlgorithm = BAYESIAN,
    objectives: Sequence[Objective] = (LOSS,),
    seed: int = 7,
    num_trials: int = 10,
) -> Study:
    return Study(
        parameters or (uniform("x", -1, 1), uniform("y", 1e-4, 1, log=True)),
        algorithm=algorithm,
        objectives=objectives,
        seed=seed,
        num_trials=num_trials,
    )


def score(parameters: dict[str, Scalar]) -> float:
    """Return a loss that is smallest where every number is 0.3."""
    return sum(
        (float(value) - 0.3) ** 2 if isinstance(value, (int, float)) else len(value)
        for value in parameters.values()
    )
