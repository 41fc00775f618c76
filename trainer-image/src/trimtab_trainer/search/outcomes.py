"""What an ended trial is to optuna: state, values, epochs and constraints. Pure.

Called by the study for what it is told and for what it replays. A trial without a value still
tells something of its point: a stopped one how far it came, an infeasible one how far it is past
a limit, a failed one that it is no good. Optuna's own word for failed makes its samplers forget
the trial, so they go back to the same place until too many trials have failed. What the trial is
worth to the user is the verdict's to say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from optuna.trial import TrialState as OptunaState

from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.status import TrialState

__all__ = ["Outcome", "describe_outcome"]

_MEMORY = {"memory": 1.0}
_FAILED = {"failed": 1.0}
"""By how much these two are broken is not known; what counts is that it is more than 0."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An ended trial in optuna's terms."""

    state: OptunaState
    values: Sequence[float] | None = None
    """One per objective; only of complete trials."""
    epochs: Mapping[int, float] = field(default_factory=dict)
    """Epoch → value of the only objective, for trials that did not reach their end."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """Name → excess as a share of the bound; 0 or less = kept."""


def describe_outcome(
    trial: TrialReport, objectives: Sequence[Objective], limits: Sequence[TrialLimit]
) -> Outcome:
    """Return how a trial ended, in optuna's terms.

    Args:
        trial: An ended trial, or one of an earlier job.
        objectives: In the order of the values.
        limits: Those that a trial can tell.

    Raises:
        ValueError: A value is NaN or infinite, which optuna would take for a result, or the
            trial still runs.
    """
    match trial.state:
        case TrialState.SUCCEEDED | TrialState.CACHED:
            values = _read_values(trial, objectives)
            constraints = _measure_excess(trial, limits)
            return Outcome(OptunaState.COMPLETE, values, constraints=constraints)
        case TrialState.STOPPED:
            # It keeps its static limits, or it would not have been trained; what a few epochs
            # of training gave is not held to the others.
            constraints = {limit.name: 0.0 for limit in limits if limit.is_static}
            epochs = _read_epochs(trial, objectives)
            return Outcome(OptunaState.PRUNED, epochs=epochs, constraints=constraints)
        case TrialState.INFEASIBLE:
            excess = _scale(trial.violations, limits) | _measure_excess(trial, limits)
            is_explained = any(value > 0 for value in excess.values())
            return Outcome(OptunaState.PRUNED, constraints=excess if is_explained else _MEMORY)
        case TrialState.FAILED:
            return Outcome(OptunaState.PRUNED, constraints=_FAILED)
        case TrialState.RUNNING:
            raise ValueError(f"trial {trial.number} must have ended but is {trial.state}")
    assert_never(trial.state)


def _read_values(trial: TrialReport, objectives: Sequence[Objective]) -> list[float]:
    values = [trial.values[objective.metric] for objective in objectives]
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"values of trial {trial.number} must be finite but are {trial.values}")
    return values


def _read_epochs(trial: TrialReport, objectives: Sequence[Objective]) -> dict[int, float]:
    """With several objectives optuna takes no epochs."""
    metrics = [objective.metric for objective in objectives]
    return {
        epoch.epoch: epoch.metrics[metric]
        for metric in metrics
        for epoch in trial.intermediate
        if len(metrics) == 1 and metric in epoch.metrics
    }


def _measure_excess(trial: TrialReport, limits: Sequence[TrialLimit]) -> dict[str, float]:
    excess = {
        limit.name: limit.excess(trial.metrics[limit.metric])
        for limit in limits
        if limit.metric in trial.metrics
    }
    return _scale(excess, limits)


def _scale(excess: Mapping[str, float], limits: Sequence[TrialLimit]) -> dict[str, float]:
    """Return shares of the bounds: TPE adds up what is past limits of different units."""
    bounds = {limit.name: abs(limit.bound) or 1.0 for limit in limits}
    return {name: value / bounds.get(name, 1.0) for name, value in excess.items()}
