"""What the HTML report says about the accuracy budget: what was allowed, spent and is left. Pure.

Called by `html`; the bars that it lists are drawn by `charts.budget`.
"""

from collections.abc import Iterator

from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.status import BudgetStatus
from trimtab_trainer.reporting.charts.budget import BudgetBar, BudgetTone
from trimtab_trainer.reporting.drops import render_drop, scale_drop

__all__ = ["describe_budget", "explain_budget", "list_budget_bars", "visible_sample"]

_NOISE_SAMPLES = 2
# More lines than these would make a grey area of the chart.
_MOST_SAMPLES = 60
# What is spent beyond the limit by less than this share of it is rounding.
_ROUNDING = 1e-6
_WORSEN = {Direction.MAXIMIZE: "drop", Direction.MINIMIZE: "rise"}


def describe_budget(report: RunReport, direction: Direction) -> str:
    """Return what is left of the accuracy budget in a sentence; empty without one.

    Args:
        report: The run.
        direction: Which way the primary metric improves.
    """
    budget = report.status.budget
    if budget is None:
        return ""
    allowed = render_drop(budget.metric, budget.allowed)
    left = render_drop(budget.metric, budget.remaining)
    worsen = _WORSEN[direction]
    return f"Accuracy budget: {budget.metric} may {worsen} by {allowed}; {left} left."


def explain_budget(report: RunReport, direction: Direction) -> list[str]:
    """Return sentences on how the budget was spent, or why there is none.

    Args:
        report: Of any run; there is nothing to say before its baseline was measured.
        direction: Which way the primary metric improves.
    """
    budget = report.status.budget
    if report.baseline is None:
        return []
    if budget is None:
        return [
            "No limit maxDrop on the primary metric, so there is no budget.",
            "Amounts were applied as asked, and the drop is only reported.",
        ]
    return list(_explain(budget, _WORSEN[direction]))


def _explain(budget: BudgetStatus, worsen: str) -> Iterator[str]:
    if not budget.spent:
        yield "Nothing was spent yet."
    if _is_overspent(budget):
        yield (
            f"The exported files {worsen} by {render_drop(budget.metric, -budget.remaining)} more"
            " than is allowed."
        )
    if not budget.resolution:
        return
    sample = render_drop(budget.metric, budget.resolution)
    yield f"One sample of the validation split is {sample}."
    if budget.allowed < _NOISE_SAMPLES * budget.resolution:
        yield (
            f"The budget is less than {_NOISE_SAMPLES} samples: chance decides what keeps it."
            " A larger validation split would tell."
        )


def _is_overspent(budget: BudgetStatus) -> bool:
    return budget.remaining < -_ROUNDING * budget.allowed


def list_budget_bars(budget: BudgetStatus) -> list[BudgetBar]:
    """Return the budget as a waterfall: what is allowed, what each stage spent, what is left."""
    bars = [_bar(budget, "allowed", 0.0, budget.allowed, BudgetTone.ALLOWED)]
    total = 0.0
    for stage, drop in budget.spent.items():
        tone = BudgetTone.GAINED if drop < 0 else BudgetTone.SPENT
        bars.append(_bar(budget, stage, total, total + drop, tone))
        total += drop
    if _is_overspent(budget):
        bars.append(_bar(budget, "over", budget.allowed, total, BudgetTone.OVER))
    else:
        bars.append(_bar(budget, "left", total, budget.allowed, BudgetTone.LEFT))
    return bars


def visible_sample(budget: BudgetStatus) -> float:
    """Return what one validation sample is worth on the axis of the bars; 0 where too small."""
    span = max(budget.allowed, sum(budget.spent.values()))
    is_visible = budget.resolution * _MOST_SAMPLES >= span
    return scale_drop(budget.metric, budget.resolution) if is_visible else 0.0


def _bar(budget: BudgetStatus, label: str, begin: float, end: float, tone: BudgetTone) -> BudgetBar:
    metric = budget.metric
    text = render_drop(metric, end - begin)
    return BudgetBar(label, scale_drop(metric, begin), scale_drop(metric, end), text, tone)
