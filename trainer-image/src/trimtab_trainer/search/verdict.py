"""What the result of a trial's work is worth: values of the objectives, and limits it breaks. Pure.

Called by the search loop for every ended trial. A metric that is missing or not a number fails
the trial; it never becomes 0. Nothing here knows where or when the trial ran.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from trimtab_api.feasibility import TrialLimit, find_violations
from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.errors import DivergedError, MetricInvalidError

__all__ = [
    "Verdict",
    "find_best",
    "is_goal_reached",
    "is_misconfigured",
    "judge_result",
]

_ALIKE = 3
"""So many first trials that fail alike are the user's error, not theirs."""

_NUMBER = re.compile(r"\d[\d.e+-]*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What work that came to its end gave."""

    state: TrialState
    """Succeeded, or Infeasible where a limit that is known before training is broken."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Objective → finite value; empty unless it succeeded."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    """Limit → by how much it is broken; kept limits are not listed."""


def judge_result(
    value: object, objectives: Sequence[Objective], limits: Sequence[TrialLimit]
) -> Verdict:
    """Return what the value of a trial's work amounts to.

    Args:
        value: What the work returned: metric → number.
        objectives: Whose metrics must be there, unless a static limit is broken.
        limits: What a trial can be told to break.

    Raises:
        MetricInvalidError: A metric is missing or no number.
        DivergedError: A metric is NaN or infinite.
    """
    metrics = _keep_finite(value) if isinstance(value, Mapping) else {}
    violations = find_violations(limits, metrics)
    if any(limit.is_static and limit.name in violations for limit in limits):
        return Verdict(TrialState.INFEASIBLE, metrics=metrics, violations=violations)
    values = {objective.metric: _read_metric(value, objective.metric) for objective in objectives}
    return Verdict(TrialState.SUCCEEDED, values, metrics, violations)


def _read_metric(metrics: object, name: str) -> float:
    if not isinstance(metrics, Mapping) or name not in metrics:
        found = ", ".join(sorted(map(str, metrics))) if isinstance(metrics, Mapping) else "none"
        raise MetricInvalidError(
            f"objective metric {name} must be among the trial's metrics but there were: {found}"
        )
    value = metrics[name]
    if isinstance(value, bool) or not isinstance(value, Real):
        raise MetricInvalidError(
            f"objective metric {name} must be a number but is {value!r}, of the trial's metrics"
            f" {', '.join(sorted(map(str, metrics)))}"
        )
    if not math.isfinite(value):
        raise DivergedError(f"objective metric {name} must be finite but is {value}")
    return float(value)


def _keep_finite(metrics: Mapping[str, object]) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in metrics.items()
        if not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    }


def is_misconfigured(trials: Sequence[TrialReport]) -> bool:
    """Return whether the trials so far are the first ones and all failed in the same way.

    Messages that differ in their numbers only are the same.

    Args:
        trials: All that ended, in this order.
    """
    failures = [trial.failure for trial in trials]
    if len(failures) != _ALIKE:
        return False
    messages = {
        _NUMBER.sub("#", failure.message)
        if failure is not None and failure.failure_class is FailureClass.TRIAL_ERROR
        else None
        for failure in failures
    }
    return len(messages) == 1 and None not in messages


def find_best(values: Sequence[float], objective: Objective) -> float | None:
    """Return the best of some values, None where there are none."""
    choose = max if objective.direction is Direction.MAXIMIZE else min
    return choose(values, default=None)


def is_goal_reached(value: float, objective: Objective) -> bool:
    """Return whether a value is as good as the objective's goal, where it has one."""
    return objective.goal is not None and find_best([objective.goal, value], objective) == value
