"""What the report says of targets and of the run, before it is HTML: fronts, limits, what it waits for."""

import pytest

from report_builder import make_candidate, make_partial_parts, make_parts, make_report
from trimtab_api.reports import ChoiceOutcome
from trimtab_api.stages import StageName, StageReason
from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import StageStatus
from trimtab_api.verdict import describe_pick
from trimtab_trainer.reporting.run_view import (
    build_headline,
    describe_recovery,
    list_facts,
    list_stage_rows,
    make_rows,
)
from trimtab_trainer.reporting.target_view import build_target, list_points, worst_allowed


def test_the_front_holds_what_no_other_beats_in_both() -> None:
    report = make_report()
    target = report.status.targets[0]

    points = list_points(
        report, target, cost="size_mib", metric="accuracy", direction=Direction.MAXIMIZE
    )

    front = {point.name for point in points if point.on_front}
    assert front == {"dense-int8", "pruned-int8"}
    assert {point.name: point.outcome for point in points} == {
        "dense": ChoiceOutcome.OVER_LIMIT,
        "pruned": ChoiceOutcome.FEASIBLE,
        "dense-int8": ChoiceOutcome.REJECTED,
        "pruned-int8": ChoiceOutcome.SHIPS,
    }


def test_what_is_slower_is_not_called_faster() -> None:
    parts = make_parts()
    slow = {"latency_p50_ms@edge": 0.282, "latency_p95_ms@edge": 0.3, "speedup@edge": 0.5}
    parts.candidates = [
        entry
        if entry.parent is None
        else entry.model_copy(update={"metrics": {**entry.metrics, **slow}})
        for entry in parts.candidates
    ]
    report = parts.build()
    spec = Spec.model_validate(report.spec)

    view = build_target(report, spec, report.status.targets[0])

    assert ("2×", "slower, median") in {(tile.value, tile.label) for tile in view.tiles}


@pytest.mark.parametrize(
    ("direction", "value"), [(Direction.MAXIMIZE, 0.9678), (Direction.MINIMIZE, 0.9878)]
)
def test_the_budget_ends_below_or_above_the_baseline(direction: Direction, value: float) -> None:
    assert worst_allowed(make_report(), "accuracy", direction) == pytest.approx(value)


@pytest.mark.parametrize(
    ("constraint", "reached", "margin", "met"),
    [
        (
            {"metric": "accuracy", "maxDrop": 0.005},
            "0.74 points",
            "\N{MINUS SIGN}0.24 points",
            False,
        ),
        ({"metric": "accuracy", "maxDropRatio": 0.01}, "0.8 %", "0.2 %", True),
        ({"metric": "size_mib", "minGainRatio": 0.75}, "85.8 %", "10.8 %", True),
        ({"metric": "params", "minGain": 50_000}, "53.2 k", "3.25 k", True),
        ({"metric": "latency_p50_ms", "maxDrop": 0}, "\N{MINUS SIGN}0.0679", "0.0679", True),
        ({"metric": "memory_mib", "min": 70}, "60.5 MiB", "\N{MINUS SIGN}9.50 MiB", False),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_limit_is_shown_in_its_own_unit(
    constraint: dict[str, object], reached: str, margin: str, *, met: bool
) -> None:
    parts = make_parts()
    parts.manifest["spec"]["constraints"] = [constraint]
    parts.candidates = [make_candidate("dense"), make_candidate("pruned-int8", parent="dense")]
    report = parts.build()
    target = report.status.targets[0].model_copy(update={"candidate": "pruned-int8"})

    (limit,) = build_target(report, Spec.model_validate(report.spec), target).limits

    assert (limit.reached, limit.margin, limit.met) == (reached, margin, met)


@pytest.mark.parametrize(
    ("reason", "outcome", "text"),
    [
        (StageReason.NO_GAIN, ChoiceOutcome.REJECTED, "rejected: 2 ms against 1 ms"),
        (None, ChoiceOutcome.OVER_LIMIT, "over the limit: 2 ms against 1 ms"),
        (
            StageReason.BUDGET_EXCEEDED,
            ChoiceOutcome.OVER_LIMIT,
            "over the limit: 2 ms against 1 ms",
        ),
    ],
)
def test_before_the_end_only_a_candidate_without_gain_is_called_rejected(
    reason: StageReason | None, outcome: ChoiceOutcome, text: str
) -> None:
    parts = make_partial_parts()
    pruned = make_candidate("pruned", rejected="2 ms against 1 ms", reason=reason)
    parts.candidates.append(pruned)
    report = parts.build()

    rows = build_target(report, Spec.model_validate(report.spec), report.status.targets[0]).rows

    assert (rows[1].outcome, rows[1].rejected) == (outcome, text)


def test_a_run_that_waits_says_for_what() -> None:
    parts = make_partial_parts()
    parts.problem = (DegradedReason.STORAGE_FULL, "no room in runs/digits")

    headline = build_headline(parts.build())

    assert (headline.title, headline.tone) == ("Waiting", "warn")
    assert headline.message == "StorageFull: no room in runs/digits"
    assert describe_recovery(parts.build()) == ""


def test_a_run_that_waited_says_so_once() -> None:
    parts = make_parts()
    parts.had_problem = True

    assert describe_recovery(parts.build()).startswith("The run had to wait")
    assert build_headline(parts.build()).title == "Goals met"
    assert describe_recovery(make_report()) == ""


def test_an_extended_study_is_not_called_stopped_alone() -> None:
    parts = make_partial_parts()
    parts.extended = True

    assert build_headline(parts.build()).message == (
        "stopped or still running in stage prune; numTrials was raised after the end: the study"
        " goes on"
    )


def test_an_emulated_type_is_called_so() -> None:
    parts = make_parts()
    parts.precision = parts.precision.model_copy(update={"dtype": "fp8", "emulated": True})

    assert list_facts(parts.build())["precision"] == "fp8, emulated"


def test_nested_data_becomes_rows() -> None:
    rows = list(make_rows({"cores": 2, "packages": {"torch": "2.15"}, "flags": ["a", "b"]}))

    assert rows == [("cores", "2"), ("packages torch", "2.15"), ("flags", "a, b")]


def test_a_candidate_that_lost_speed_is_called_slower() -> None:
    parts = make_parts()
    slow = make_candidate("pruned-int8")
    metrics = {**slow.metrics, "speedup@edge": 0.5, "size_mib@edge": 0.3652}
    parts.candidates[-1] = slow.model_copy(update={"metrics": metrics})
    report = parts.build()
    target = report.status.targets[0].model_copy(update={"candidate": "pruned-int8"})

    assert "not smaller, 2× slower" in describe_pick(report, target, "accuracy")


def test_the_baseline_itself_may_ship() -> None:
    parts = make_parts()
    parts.manifest["spec"]["constraints"] = []
    parts.candidates = parts.candidates[:1]
    report = parts.build()

    sentence = describe_pick(report, report.status.targets[0], "accuracy")

    assert sentence == "dense, the baseline itself, ships for edge"


@pytest.mark.parametrize(
    ("end", "time"), [("10:00:00", "< 1 s"), ("10:00:03", "3 s"), ("10:02:03", "2 min 03 s")]
)
def test_times_from_whole_seconds_have_no_decimals(end: str, time: str) -> None:
    stage = StageStatus(
        name=StageName.TRAIN,
        start_time="2030-01-01T10:00:00Z",
        completion_time=f"2030-01-01T{end}Z",
    )

    assert [row.time for row in list_stage_rows([stage])] == [time]


@pytest.mark.parametrize(("share", "is_said"), [(0.0004, False), (0.012, True)])
def test_waiting_for_the_cpu_is_told_where_there_was_some(share: float, is_said: bool) -> None:
    report = make_report()
    spec, target = Spec.model_validate(report.spec), report.status.targets[0]
    candidates = tuple(
        entry.model_copy(update={"metrics": {**entry.metrics, "contention@edge": share}})
        for entry in report.candidates
    )

    note = build_target(report.model_copy(update={"candidates": candidates}), spec, target).note

    assert ("other programs took" in note) is is_said
