"""What the report says, before it is HTML: history, fronts, limits, order of trials."""

import pytest

from report_builder import make_candidate, make_parts, make_report, make_trials
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.verdict import describe_pick
from trimtab_trainer.reporting.run_view import list_history, list_trial_rows, make_rows
from trimtab_trainer.reporting.target_view import build_target, list_points, worst_allowed

TRIALS = make_trials()


@pytest.mark.parametrize("direction", Direction)
def test_the_best_so_far_never_gets_worse(direction: Direction) -> None:
    bests = [
        point.best
        for point in list_history(TRIALS[::-1], "accuracy", direction)
        if point.best is not None
    ]

    assert bests == sorted(bests, reverse=direction is Direction.MINIMIZE)
    assert len(bests) == len(TRIALS)


def test_a_trial_without_a_value_keeps_the_best() -> None:
    points = list_history(TRIALS, "accuracy", Direction.MAXIMIZE)

    assert points[5].value is None
    assert points[5].best == points[4].best


@pytest.mark.parametrize("direction", Direction)
def test_trials_are_listed_best_first_and_failed_ones_last(direction: Direction) -> None:
    rows = list_trial_rows(TRIALS, ["train.batchSize"], "accuracy", direction)

    values = {trial.number: trial.values.get("accuracy", 0.0) for trial in TRIALS}
    listed = [values[row.number] for row in rows[:-2]]
    assert listed == sorted(listed, reverse=direction is Direction.MAXIMIZE)
    assert [row.number for row in rows[-2:]] == [5, 11]
    assert rows[-1].message == "Diverged: loss became nan in epoch 2"


def test_the_front_holds_what_no_other_beats_in_both() -> None:
    report = make_report()
    target = report.status.targets[0]

    points = list_points(
        report, target, cost="size_mib", metric="accuracy", direction=Direction.MAXIMIZE
    )

    front = {point.name for point in points if point.on_front}
    assert front == {"dense-int8", "pruned-int8"}
    assert {point.name: point.role for point in points} == {
        "dense": "candidate",
        "pruned": "candidate",
        "dense-int8": "rejected",
        "pruned-int8": "ships",
    }


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
        ({"metric": "accuracy", "maxDropRatio": 0.01}, "0.8%", "0.2%", True),
        ({"metric": "size_mib", "minGainRatio": 0.75}, "85.8%", "10.8%", True),
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
