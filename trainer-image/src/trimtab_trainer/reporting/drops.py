"""A drop of the primary metric in words and on an axis: fractions are read as points. Pure.

Called by the views of the budget and of pruning.
"""

from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.wording import render_scalar
from trimtab_trainer.reporting.charts.canvas import NumberStyle
from trimtab_trainer.reporting.scales import choose_style

__all__ = ["name_drop_axis", "render_drop", "scale_drop"]

_MINUS = "\N{MINUS SIGN}"


def render_drop(metric: str, value: float) -> str:
    """Return a drop in points of a fraction, or in the metric's own unit."""
    if choose_style(metric) is NumberStyle.PERCENT:
        points = round(100 * value, 2) + 0.0  # no minus before a zero
        return f"{points:.2f} points".replace("-", _MINUS)
    return render_scalar(value).replace("-", _MINUS)


def scale_drop(metric: str, value: float) -> float:
    """Return a drop in the unit of its axis."""
    return 100 * value if choose_style(metric) is NumberStyle.PERCENT else value


def name_drop_axis(metric: str, direction: Direction) -> str:
    """Return the title of an axis of drops, or of rises where smaller values are better."""
    unit = " (points)" if choose_style(metric) is NumberStyle.PERCENT else ""
    word = "drop" if direction is Direction.MAXIMIZE else "rise"
    return f"{word} of {metric}{unit}"
