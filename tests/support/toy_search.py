"""A search without training: parameters, a quadratic objective, and a loop over a study."""

from collections.abc import Mapping, Sequence

from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import EpochReport, TrialFailure, TrialReport
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
    Surrogate,
    Uniform,
)
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.search.study import Proposal, Study

__all__ = [
    "ALGORITHMS",
    "BAYESIAN",
    "GAUSSIAN",
    "GRID",
    "LOSS",
    "RANDOM",
    "categorical",
    "fail",
    "make_study",
    "score",
    "stop",
    "succeed",
    "uniform",
]

GRID = SearchAlgorithm(grid=Grid())
RANDOM = SearchAlgorithm(random=Random())
BAYESIAN = SearchAlgorithm(bayesian=Bayesian(startup_trials=3))
GAUSSIAN = SearchAlgorithm(
    bayesian=Bayesian(surrogate=Surrogate.GAUSSIAN_PROCESS, startup_trials=3)
)
ALGORITHMS = {"grid": GRID, "random": RANDOM, "bayesian": BAYESIAN, "gaussian": GAUSSIAN}

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
    limits: Sequence[TrialLimit] = (),
    seed: int = 7,
    num_trials: int = 10,
    points: Sequence[Mapping[str, Scalar]] = (),
    known: Sequence[TrialReport] = (),
) -> Study:
    return Study(
        parameters or (uniform("x", -1, 1), uniform("y", 1e-4, 1, log=True)),
        algorithm=algorithm,
        objectives=objectives,
        limits=limits,
        seed=seed,
        num_trials=num_trials,
        points=points,
        known=known,
    )


def succeed(
    proposal: Proposal, metrics: Mapping[str, float] | None = None, **values: float
) -> TrialReport:
    """Return the report of a trial with these objectives; its metrics are the same and more."""
    return TrialReport(
        number=proposal.number,
        state=TrialState.SUCCEEDED,
        parameters=proposal.parameters,
        values=values,
        metrics={**values, **(metrics or {})},
        seconds=1,
    )


def fail(proposal: Proposal, failure_class: FailureClass = FailureClass.TRIAL_ERROR) -> TrialReport:
    """Return the report of a trial that failed, of one without memory as infeasible."""
    is_oom = failure_class is FailureClass.OOM
    return TrialReport(
        number=proposal.number,
        state=TrialState.INFEASIBLE if is_oom else TrialState.FAILED,
        parameters=proposal.parameters,
        seconds=1,
        failure=TrialFailure(failure_class=failure_class, message="it did"),
    )


def stop(proposal: Proposal, *losses: float) -> TrialReport:
    """Return the report of a trial that was stopped after epochs with these losses."""
    epochs = tuple(
        EpochReport(epoch=epoch, metrics={"loss": loss}, seconds=1)
        for epoch, loss in enumerate(losses, 1)
    )
    return TrialReport(
        number=proposal.number,
        state=TrialState.STOPPED,
        parameters=proposal.parameters,
        intermediate=epochs,
        seconds=1,
    )


def score(parameters: Mapping[str, Scalar]) -> float:
    """Return a loss that is smallest where every number is 0.3."""
    return sum(
        (float(value) - 0.3) ** 2 if isinstance(value, (int, float)) else len(value)
        for value in parameters.values()
    )
