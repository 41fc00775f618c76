"""The accuracy budget as the report tells it: a waterfall, what is left, what a sample is worth."""

import pytest

from report_builder import make_partial_report, make_parts
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.status import BudgetStatus
from trimtab_trainer.reporting.budget_view import (
    describe_budget,
    explain_budget,
    list_budget_bars,
    visible_sample,
)
from trimtab_trainer.reporting.charts.budget import BudgetTone
from trimtab_trainer.reporting.drops import name_drop_axis

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def make_budget(spent: dict[str, float], *, resolution: float = 1 / 270) -> BudgetStatus:
    return BudgetStatus(
        metric="accuracy",
        allowed=0.01,
        resolution=resolution,
        spent=spent,
        remaining=0.01 - sum(spent.values()),
    )


@pytest.mark.parametrize(
    ("spent", "bars"),
    [
        ({}, [("left", 0, 1, BudgetTone.LEFT)]),
        (
            {"prune": 0.004, "quantize": 0.003},
            [
                ("prune", 0, 0.4, BudgetTone.SPENT),
                ("quantize", 0.4, 0.7, BudgetTone.SPENT),
                ("left", 0.7, 1, BudgetTone.LEFT),
            ],
        ),
        (
            {"prune": -0.002},
            [("prune", 0, -0.2, BudgetTone.GAINED), ("left", -0.2, 1, BudgetTone.LEFT)],
        ),
        (
            {"prune": 0.013},
            [("prune", 0, 1.3, BudgetTone.SPENT), ("over", 1, 1.3, BudgetTone.OVER)],
        ),
        ({"prune": 0.01}, [("prune", 0, 1, BudgetTone.SPENT), ("left", 1, 1, BudgetTone.LEFT)]),
    ],
    ids=["untouched", "both stages", "gained", "overspent", "spent to the end"],
)
def test_each_bar_begins_where_the_one_before_ended(
    spent: dict[str, float], bars: list[tuple[str, float, float, BudgetTone]]
) -> None:
    allowed, *others = list_budget_bars(make_budget(spent))

    assert (allowed.label, allowed.begin, allowed.end, allowed.text) == (
        "allowed",
        0,
        1,
        "1.00 points",
    )
    assert [(bar.label, bar.tone) for bar in others] == [(bar[0], bar[3]) for bar in bars]
    for found, (_, begin, end, _) in zip(others, bars, strict=True):
        assert (found.begin, found.end) == pytest.approx((begin, end))


def test_a_metric_that_is_no_fraction_keeps_its_unit() -> None:
    budget = make_budget({"prune": 0.004}).model_copy(update={"metric": "error"})

    bars = list_budget_bars(budget)

    assert [(bar.text, bar.end) for bar in bars[:2]] == [("0.01", 0.01), ("0.004", 0.004)]


def test_samples_too_small_to_see_are_not_drawn() -> None:
    assert visible_sample(make_budget({}, resolution=0.002)) == pytest.approx(0.2)
    assert visible_sample(make_budget({}, resolution=0.0001)) == 0


def test_a_budget_below_two_samples_is_left_to_chance() -> None:
    parts = make_parts()
    assert explain_budget(parts.build(), UP) == [
        "One sample of the validation split is 0.37 points."
    ]

    report = parts.build()
    budget = make_budget({"prune": 0.013}, resolution=0.008)
    report = report.model_copy(
        update={"status": report.status.model_copy(update={"budget": budget})}
    )

    over, sample, chance = explain_budget(report, UP)
    assert over == "The exported files drop by 0.30 points more than is allowed."
    assert sample == "One sample of the validation split is 0.80 points."
    assert chance.startswith("The budget is less than 2 samples: chance decides")


def test_nothing_is_said_before_there_is_a_baseline() -> None:
    parts = make_parts()
    parts.candidates = []

    assert explain_budget(parts.build(), UP) == []
    assert describe_budget(parts.build(), UP) == ""


def test_a_run_that_spent_nothing_yet_says_so() -> None:
    assert explain_budget(make_partial_report(), UP)[0] == "Nothing was spent yet."


def test_a_metric_that_is_better_when_smaller_rises() -> None:
    report = make_parts().build()
    budget = make_budget({"prune": 0.013}).model_copy(update={"metric": "error"})
    status = report.status.model_copy(update={"budget": budget})
    report = report.model_copy(update={"status": status})

    assert describe_budget(report, DOWN) == (
        "Accuracy budget: error may rise by 0.01; \N{MINUS SIGN}0.003 left."
    )
    assert explain_budget(report, DOWN)[0].startswith("The exported files rise by 0.003 more")
    assert (name_drop_axis("error", DOWN), name_drop_axis("f1", UP)) == (
        "rise of error",
        "drop of f1",
    )
