"""How a run ended, in a word and in a sentence. Pure.

The command line takes its exit code and its last line from here, the HTML report its header.
"""

from enum import StrEnum

from trimtab_api.metrics import metric_key
from trimtab_api.reports import CandidateReport, ChoiceOutcome, RunReport
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import Status, TargetStatus
from trimtab_api.wording import render_change, render_metric, render_scalar, render_times

__all__ = [
    "Verdict",
    "describe_pick",
    "describe_unreached_goal",
    "find_outcome",
    "find_verdict",
    "shipped_for",
]

# A difference below this share is not worth a word.
_VISIBLE = 0.005


class Verdict(StrEnum):
    """How a run ended, by its conditions."""

    UNFINISHED = "Unfinished"
    """It runs, or was stopped."""
    FAILED = "Failed"
    """It ended without a result."""
    GOALS_MISSED = "GoalsMissed"
    """It ended with the nearest candidate: a limit is missed."""
    GOALS_MET = "GoalsMet"
    """It ended with a candidate for each target that keeps every limit."""


def find_verdict(status: Status) -> Verdict:
    """Return how a run ended."""
    true = {condition.type for condition in status.conditions if condition.status == "True"}
    if ConditionType.FAILED in true:
        return Verdict.FAILED
    if ConditionType.COMPLETE not in true:
        return Verdict.UNFINISHED
    return Verdict.GOALS_MET if ConditionType.GOALS_MET in true else Verdict.GOALS_MISSED


def shipped_for(report: RunReport, target: TargetStatus) -> CandidateReport | None:
    """Return the candidate that ships for a target; None before the final measurement."""
    return next((entry for entry in report.candidates if entry.id == target.candidate), None)


def find_outcome(
    report: RunReport, candidate: CandidateReport, target: TargetStatus
) -> ChoiceOutcome:
    """Return what became of a candidate for a target; before the end, how it was judged so far."""
    for choice in report.choices:
        if (choice.target, choice.candidate) == (target.name, candidate.id):
            return choice.outcome
    if candidate.id == target.candidate:
        return ChoiceOutcome.SHIPS
    return candidate.rejection or ChoiceOutcome.FEASIBLE


def describe_pick(report: RunReport, target: TargetStatus, metric: str) -> str:
    """Return in a sentence what ships for a target and what was gained; empty while unknown.

    Args:
        report: The run.
        target: One of its targets.
        metric: The primary metric.
    """
    candidate = shipped_for(report, target)
    if candidate is None or report.baseline is None:
        return ""
    before = report.baseline
    if candidate.digest == before.digest:
        return f"{candidate.id}, the baseline itself, ships for {target.name}"
    size, speed = metric_key("size_mib", target.name), metric_key("speedup", target.name)
    gains = []
    if size in before.metrics and candidate.metrics.get(size):
        gains.append(_compare(before.metrics[size] / candidate.metrics[size], "smaller", "larger"))
    if candidate.metrics.get(speed):
        gains.append(_compare(candidate.metrics[speed], "faster", "slower"))
    value, reference = candidate.metrics.get(metric), before.metrics.get(metric)
    if value is not None and reference is not None:
        change = render_change(metric, value - reference)
        gains.append(f"{metric} {render_metric(metric, value)} ({change})")
    return f"{candidate.id} ships for {target.name}: {', '.join(gains)}"


def describe_unreached_goal(report: RunReport) -> str:
    """Return that the search ended below its goal, with its best value; empty if it did not.

    Only the first objective's goal counts. It ends the search and is no limit, so a run may keep
    all limits without it.
    """
    ended = find_verdict(report.status) in {Verdict.GOALS_MET, Verdict.GOALS_MISSED}
    objective, best = Spec.model_validate(report.spec).objectives[0], report.status.best
    if objective.goal is None or best is None or not ended:
        return ""
    rising = objective.direction is Direction.MAXIMIZE
    if best.value >= objective.goal if rising else best.value <= objective.goal:
        return ""
    goal, value = render_scalar(objective.goal), render_metric(objective.metric, best.value)
    return f"objective goal {goal} not reached ({value})"


def _compare(ratio: float, better: str, worse: str) -> str:
    if abs(ratio - 1) < _VISIBLE:
        return f"not {better}"
    return f"{render_times(ratio)} {better}" if ratio > 1 else f"{render_times(1 / ratio)} {worse}"
