"""Trials become points: ranked by value and limits, thinned where they are many, placed in time."""

import itertools

import pytest

from report_builder import make_trials
from search_builder import make_searched
from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import Parameter
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.reporting.charts.canvas import TrialMark
from trimtab_trainer.reporting.charts.space import Tone
from trimtab_trainer.reporting.scales import build_scales
from trimtab_trainer.reporting.trial_points import (
    find_range,
    list_curves,
    list_front,
    list_history,
    list_lines,
    list_slice,
    make_timeline,
    mark_trial,
    rank_trial,
    shown_range,
    thin_out,
)

TRIALS = make_trials()
BUSY = make_searched(60, slots=4, seed=5)
ACCURACY = Objective(metric="accuracy", direction=Direction.MAXIMIZE)
PARAMS = Objective(metric="params", direction=Direction.MINIMIZE)
RATE = build_scales(
    [
        Parameter.model_validate(
            {"name": "train.learningRate", "searchSpace": {"logUniform": {"min": 1e-4, "max": 0.1}}}
        )
    ]
)["train.learningRate"]


def make_trial(number: int, **fields: object) -> TrialReport:
    base = {"number": number, "state": TrialState.SUCCEEDED, "parameters": {}, "seconds": 1.0}
    return TrialReport.model_validate({**base, **fields})


def by_two(number: int, accuracy: float, params: float, *, past: float = 0) -> TrialReport:
    return make_trial(
        number,
        values={"accuracy": accuracy, "params": params},
        violations={"params max 1": past} if past else {},
    )


@pytest.mark.parametrize("direction", Direction)
def test_the_best_so_far_never_gets_worse(direction: Direction) -> None:
    objective = Objective(metric="accuracy", direction=direction)
    bests = [
        point.best for point in list_history(TRIALS[::-1], objective) if point.best is not None
    ]

    assert bests == sorted(bests, reverse=direction is Direction.MINIMIZE)
    assert len(bests) == len(TRIALS)


def test_a_trial_without_a_value_keeps_the_best() -> None:
    points = list_history(TRIALS, ACCURACY)

    assert points[5].value is None
    assert points[5].mark is TrialMark.FAILED
    assert points[5].best == points[4].best


def test_a_trial_inside_the_limits_is_better_than_any_past_them() -> None:
    trials = [by_two(0, 0.9, 5, past=4), by_two(1, 0.5, 1), by_two(2, 0.95, 9, past=8)]

    assert [point.best for point in list_history(trials, ACCURACY)] == [0.9, 0.5, 0.5]
    assert [mark_trial(trial) for trial in trials[:2]] == [TrialMark.LIMITED, TrialMark.TRIAL]


def test_a_stopped_trial_shows_its_last_value_but_is_never_the_best() -> None:
    stopped = make_trial(1, state=TrialState.STOPPED, metrics={"accuracy": 0.99})

    points = list_history([by_two(0, 0.9, 1), stopped], ACCURACY)

    assert (points[1].value, points[1].best) == (0.99, 0.9)
    assert rank_trial(stopped, ACCURACY) > rank_trial(by_two(2, 0.1, 1), ACCURACY)


@pytest.mark.parametrize("state", [state for state in TrialState if state != TrialState.RUNNING])
def test_every_end_of_a_trial_has_its_own_mark(state: TrialState) -> None:
    marks = {end: mark_trial(make_trial(0, state=end)) for end in TrialState}

    assert [end for end, mark in marks.items() if mark is marks[state]][-1] is state


@pytest.mark.parametrize(
    ("values", "direction", "ends"),
    [
        ([0.9, 0.92, 0.94, 0.1], Direction.MAXIMIZE, (0.94, 0.82)),
        ([3.0, 1.0, 2.0, 500.0], Direction.MINIMIZE, (1.0, 7.0)),
        ([0.9, 0.92], Direction.MAXIMIZE, (0.92, 0.9)),
        ([0.5, 0.5, 0.5, 0.1], Direction.MAXIMIZE, (0.5, 0.1)),
        ([0.5], Direction.MINIMIZE, (0.5, 0.5)),
    ],
)
def test_poor_values_do_not_stretch_a_range(
    values: list[float], direction: Direction, ends: tuple[float, float]
) -> None:
    found = find_range(values, direction)

    assert (found.best, found.worst) == pytest.approx(ends)
    assert found.clamp(-1e9) == pytest.approx(min(ends))


def test_a_range_shows_trials_that_ran_to_their_end() -> None:
    stopped = make_trial(1, state=TrialState.STOPPED, metrics={"accuracy": 0.3})

    assert shown_range([by_two(0, 0.9, 1), stopped], ACCURACY).worst == 0.9
    assert shown_range([stopped], ACCURACY).worst == 0.3


def test_thinning_keeps_the_best_and_spreads_the_others() -> None:
    trials = [by_two(number, number / 1000, 1) for number in range(1000)]

    shown = [trial.number for trial in thin_out(trials[::-1], 100, ACCURACY)]

    assert shown == sorted(set(shown))
    assert shown[-25:] == list(range(975, 1000))
    assert all(b - a in {13, 12} for a, b in itertools.pairwise(shown[:70]))
    assert thin_out(trials[:100], 100, ACCURACY) == trials[:100]


def test_a_slice_holds_each_trial_with_a_value_at_its_parameter() -> None:
    points = list_slice(TRIALS, RATE, "accuracy", best=4)

    assert len(points) == 14
    assert sum(point.is_best for point in points) == 1
    assert points[-1].age == 1
    assert points[0].place == pytest.approx(RATE.place(TRIALS[0].parameters[RATE.name]))


def test_lines_end_at_the_objectives_with_the_best_marked() -> None:
    axes, lines = list_lines(BUSY, [RATE], [ACCURACY, PARAMS], most=1000)

    tones = [line.tone for line in lines]
    assert [axis.title for axis in axes] == ["learningRate", "accuracy", "params"]
    assert len(lines) == sum(bool(trial.values) for trial in BUSY)
    assert tones.count(Tone.BEST) == 1
    assert tones.count(Tone.TOP) == -(-len(lines) // 10) - 1
    assert all(len(line.places) == 3 for line in lines)
    assert list_lines([], [RATE], [ACCURACY], most=10) == ([], [])


def test_curves_follow_trials_with_epochs() -> None:
    curves = list_curves(BUSY, "accuracy", best=0)

    lengths = {curve.number: len(curve.values) for curve in curves}
    assert lengths == {t.number: len(t.intermediate) for t in BUSY if t.intermediate}
    assert [curve.number for curve in curves if curve.is_best] == [0]


def test_starts_of_a_run_follow_each_other_in_time() -> None:
    timeline = make_timeline(BUSY)

    first = [t.number for t in BUSY if t.attempt == 1]
    spans = {span.number: span for span in timeline.spans}
    assert [start.label for start in timeline.starts] == ["attempt 1", "attempt 2"]
    assert max(spans[number].end for number in first) == timeline.starts[1].start
    assert timeline.slots == 4
    for slot in range(4):
        lane = sorted((s for s in timeline.spans if s.slot == slot), key=lambda span: span.start)
        assert all(a.end <= b.start for a, b in itertools.pairwise(lane))


def test_only_epochs_are_work() -> None:
    epochs = [EpochReport(epoch=epoch, metrics={}, seconds=3.0) for epoch in (1, 2)]
    trials = [
        make_trial(0, seconds=8.0, intermediate=epochs),
        make_trial(1, seconds=2.0, slot=1, state=TrialState.INFEASIBLE),
        # It went on from an epoch of the first start, whose time was spent there.
        make_trial(2, seconds=5.0, slot=1, attempt=2, start_seconds=7.0, intermediate=epochs),
    ]

    timeline = make_timeline(trials)

    works = [(span.start, span.work, span.end) for span in timeline.spans]
    assert works == [(0, 2, 8), (0, 2, 2), (15, 15, 20)]
    assert timeline.busy == pytest.approx((6 + 5) / (2 * 20))


def test_the_front_of_trials_leaves_out_what_is_past_a_limit() -> None:
    trials = [
        by_two(0, 0.9, 10),
        by_two(1, 0.8, 5),
        by_two(2, 0.8, 6),
        by_two(3, 0.99, 1, past=2),
        by_two(4, 0.8, 5),
        make_trial(5, values={"accuracy": 1.0}),
    ]

    points = list_front(trials, PARAMS, ACCURACY)

    assert [point.on_front for point in points] == [True, True, False, False, True]
    assert points[3].mark is TrialMark.LIMITED
