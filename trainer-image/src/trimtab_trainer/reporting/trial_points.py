"""Trials as points, lines, curves and bars of the search charts. Pure.

Called by `search_charts`; the charts draw what is returned here. Where there are more trials than
a chart can show, the best ones and an even sample of the others stand for all.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.reporting.charts.canvas import Axis, TrialMark, ValueRange
from trimtab_trainer.reporting.charts.history import Curve, RunStart, Span, TrialPoint
from trimtab_trainer.reporting.charts.space import FrontPoint, ParallelLine, SlicePoint, Tone
from trimtab_trainer.reporting.scales import ParameterScale, make_value_axis

__all__ = [
    "Timeline",
    "find_range",
    "last_value",
    "list_curves",
    "list_front",
    "list_history",
    "list_lines",
    "list_slice",
    "make_timeline",
    "mark_trial",
    "rank_trial",
    "shown_range",
    "thin_out",
]

# An axis ends at so many times the distance between the best and the median value.
_SHOWN_DISTANCES = 4
_BEST_SHARE = 4
_TENTH = 10


@dataclass(frozen=True, slots=True)
class Timeline:
    """When and where trials ran."""

    spans: tuple[Span, ...]
    starts: tuple[RunStart, ...]
    slots: int
    busy: float
    """Share of the slots' time that epochs took."""


def mark_trial(trial: TrialReport) -> TrialMark:
    """Return how a trial is drawn."""
    match trial.state:
        case TrialState.SUCCEEDED | TrialState.RUNNING:
            return TrialMark.LIMITED if trial.violations else TrialMark.TRIAL
        case TrialState.STOPPED:
            return TrialMark.STOPPED
        case TrialState.INFEASIBLE:
            return TrialMark.INFEASIBLE
        case TrialState.FAILED:
            return TrialMark.FAILED
        case TrialState.CACHED:
            return TrialMark.EARLIER


def last_value(trial: TrialReport, metric: str) -> float | None:
    """Return a trial's value, or the last one before it was stopped early; None without one."""
    if trial.state is TrialState.STOPPED:
        return trial.values.get(metric, trial.metrics.get(metric))
    return trial.values.get(metric)


def rank_trial(trial: TrialReport, objective: Objective) -> tuple[int, float, int]:
    """Return a key that sorts trials: the best first, then those over a limit, then the others."""
    value = last_value(trial, objective.metric)
    if value is None:
        return 3, 0.0, trial.number
    group = 2 if trial.state is TrialState.STOPPED else int(bool(trial.violations))
    return group, _cost(value, objective), trial.number


def _cost(value: float, objective: Objective) -> float:
    return -value if objective.direction is Direction.MAXIMIZE else value


def find_range(values: Sequence[float], direction: Direction) -> ValueRange:
    """Return the part of the values worth showing: a few poor ones must not flatten the rest.

    Args:
        values: At least one.
        direction: Which way they improve.
    """
    sign = 1 if direction is Direction.MAXIMIZE else -1
    rated = [sign * value for value in values]
    best, worst = max(rated), min(rated)
    distance = best - statistics.median(rated)
    if distance > 0:
        worst = max(worst, best - _SHOWN_DISTANCES * distance)
    return ValueRange(sign * best, sign * worst)


def shown_range(trials: Sequence[TrialReport], objective: Objective) -> ValueRange:
    """Return the values that an axis shows: those of trials that ran to their end, if any did.

    Args:
        trials: Each with a value, or with a last one.
        objective: Whose values.
    """
    values = [last_value(trial, objective.metric) for trial in trials]
    finished = [trial.values.get(objective.metric) for trial in trials]
    known = [value for value in finished if value is not None]
    return find_range(known or [v for v in values if v is not None], objective.direction)


def thin_out(trials: Sequence[TrialReport], most: int, objective: Objective) -> list[TrialReport]:
    """Return at most so many trials by number: a quarter are the best, the others spread evenly.

    Args:
        trials: In any order.
        most: How many can be shown.
        objective: Tells which are best.
    """
    ranked = sorted(trials, key=lambda trial: rank_trial(trial, objective))
    if len(ranked) > most:
        best = most // _BEST_SHARE
        rest = sorted(ranked[best:], key=lambda trial: trial.number)
        wanted = most - best
        ranked = ranked[:best] + [rest[index * len(rest) // wanted] for index in range(wanted)]
    return sorted(ranked, key=lambda trial: trial.number)


def list_history(trials: Sequence[TrialReport], objective: Objective) -> list[TrialPoint]:
    """Return trials by number with the best value up to each; limits come before values."""
    best: TrialReport | None = None
    points = []
    for trial in sorted(trials, key=lambda entry: entry.number):
        if objective.metric in trial.values:
            rivals = [trial] if best is None else [best, trial]
            best = min(rivals, key=lambda entry: rank_trial(entry, objective))
        points.append(
            TrialPoint(
                number=trial.number,
                value=last_value(trial, objective.metric),
                best=best.values[objective.metric] if best else None,
                mark=mark_trial(trial),
            )
        )
    return points


def list_slice(
    trials: Sequence[TrialReport], scale: ParameterScale, metric: str, best: int | None
) -> list[SlicePoint]:
    """Return trials with a value by one of their parameters.

    Args:
        trials: In any order.
        scale: Of the parameter.
        metric: The objective.
        best: Number of the best trial.
    """
    last = max((trial.number for trial in trials), default=0) or 1
    return [
        SlicePoint(
            place=scale.spread(trial.parameters[scale.name], trial.number),
            value=value,
            age=trial.number / last,
            mark=mark_trial(trial),
            is_best=trial.number == best and trial.state is not TrialState.CACHED,
        )
        for trial in trials
        if scale.name in trial.parameters and (value := last_value(trial, metric)) is not None
    ]


def list_lines(
    trials: Sequence[TrialReport],
    scales: Sequence[ParameterScale],
    objectives: Sequence[Objective],
    *,
    most: int,
) -> tuple[list[Axis], list[ParallelLine]]:
    """Return the axes and the lines of the parallel coordinates.

    Args:
        trials: Of which those with all objectives are drawn.
        scales: Of the parameters.
        objectives: The primary one first.
        most: How many lines can be shown.
    """
    metrics = [objective.metric for objective in objectives]
    full = [trial for trial in trials if set(metrics) <= set(trial.values)]
    if not full:
        return [], []
    ranges = {
        objective.metric: find_range(
            [trial.values[objective.metric] for trial in full], objective.direction
        )
        for objective in objectives
    }
    axes = [scale.axis for scale in scales]
    axes += [make_value_axis(name, ranges[name]) for name in metrics]
    ranked = sorted(full, key=lambda trial: rank_trial(trial, objectives[0]))
    top = {trial.number for trial in ranked[: math.ceil(len(ranked) / _TENTH)]}
    lines = [
        ParallelLine(
            number=trial.number,
            places=(
                *(scale.place(trial.parameters[scale.name]) for scale in scales),
                *(ranges[name].share(trial.values[name]) for name in metrics),
            ),
            tone=_tone(trial.number, ranked[0].number, top),
        )
        for trial in thin_out(full, most, objectives[0])
        if all(scale.name in trial.parameters for scale in scales)
    ]
    return axes, lines


def _tone(number: int, best: int, top: set[int]) -> Tone:
    if number == best:
        return Tone.BEST
    return Tone.TOP if number in top else Tone.OTHER


def list_curves(trials: Sequence[TrialReport], metric: str, best: int | None) -> list[Curve]:
    """Return the values after each epoch of trials that have some.

    Args:
        trials: In any order.
        metric: What is followed.
        best: Number of the best trial.
    """
    curves = []
    for trial in trials:
        values = tuple(
            (epoch.epoch, epoch.metrics[metric])
            for epoch in trial.intermediate
            if metric in epoch.metrics
        )
        if values:
            curves.append(Curve(trial.number, values, mark_trial(trial), trial.number == best))
    return curves


def make_timeline(trials: Sequence[TrialReport]) -> Timeline:
    """Return when and where trials ran, one start of the run after the other.

    Args:
        trials: At least one; each tells its start within its own start of the run.
    """
    slots = max(trial.slot for trial in trials) + 1
    starts: dict[int, float] = {}
    end = 0.0
    for attempt in sorted({trial.attempt for trial in trials}):
        starts[attempt] = end
        end += max(_end(trial) for trial in trials if trial.attempt == attempt)
    return Timeline(
        spans=tuple(_list_spans(trials, starts)),
        starts=tuple(RunStart(f"attempt {attempt}", start) for attempt, start in starts.items()),
        slots=slots,
        busy=sum(map(_work, trials)) / (slots * end) if end else 0.0,
    )


def _work(trial: TrialReport) -> float:
    """Return the seconds of a trial's epochs; those of an earlier start of it are not its own."""
    return min(sum(epoch.seconds for epoch in trial.intermediate), trial.seconds)


def _end(trial: TrialReport) -> float:
    return trial.start_seconds + trial.seconds


def _list_spans(trials: Sequence[TrialReport], starts: Mapping[int, float]) -> Iterator[Span]:
    for trial in trials:
        start = starts[trial.attempt]
        yield Span(
            number=trial.number,
            slot=trial.slot,
            start=start + trial.start_seconds,
            work=start + _end(trial) - _work(trial),
            end=start + _end(trial),
            mark=mark_trial(trial),
        )


def list_front(trials: Sequence[TrialReport], x: Objective, y: Objective) -> list[FrontPoint]:
    """Return trials by two objectives, and which of them no other beats in both.

    A trial over a limit neither stands on the front nor beats another.
    """
    rated = [trial for trial in trials if {x.metric, y.metric} <= set(trial.values)]
    costs = {
        id(trial): (_cost(trial.values[x.metric], x), _cost(trial.values[y.metric], y))
        for trial in rated
    }
    front: set[tuple[float, float]] = set()
    lowest = math.inf
    for cost in sorted({costs[id(trial)] for trial in rated if not trial.violations}):
        if cost[1] < lowest:
            lowest = cost[1]
            front.add(cost)
    return [
        FrontPoint(
            x=trial.values[x.metric],
            y=trial.values[y.metric],
            mark=mark_trial(trial),
            on_front=not trial.violations and costs[id(trial)] in front,
        )
        for trial in rated
    ]
