"""The chart of the accuracy budget: a waterfall of what is allowed, spent by stage, and left.

Called by `html` with the bars of `budget_view`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trimtab_trainer.reporting.charts.canvas import WIDE, Layer, render

__all__ = ["BudgetBar", "BudgetTone", "draw_budget"]

# Pixels: of a bar with its gap, and of the axis below.
_BAR, _AROUND = 34, 52
# What texts beside the longest bar need, as a share of the axis.
_ROOM_FOR_TEXT = 0.14


class BudgetTone(StrEnum):
    """What a bar stands for; its colour."""

    ALLOWED = "var(--line-strong)"
    SPENT = "var(--accent)"
    GAINED = "var(--open)"
    LEFT = "var(--good)"
    OVER = "var(--bad)"


@dataclass(frozen=True, slots=True)
class BudgetBar:
    """A part of the budget, in the unit of the axis."""

    label: str
    begin: float
    end: float
    text: str
    """Its length in words."""
    tone: BudgetTone


def draw_budget(bars: Sequence[BudgetBar], *, title: str, sample: float) -> str:
    """Return the budget as SVG, one bar below the other, each where the one before ends.

    Args:
        bars: The allowed budget first.
        title: Of the axis.
        sample: What one validation sample is worth, for light lines; 0 for none.
    """
    ends = [place for bar in bars for place in (bar.begin, bar.end)]
    low, high = min(0.0, *ends), max(ends)
    x = _across(title, low, high)
    y = {
        "field": "label",
        "type": "nominal",
        "sort": [bar.label for bar in bars],
        "title": None,
        "axis": {
            "labelFontSize": 12,
            "labelColor": "var(--ink)",
            "labelPadding": 8,
            "ticks": False,
        },
        "scale": {"paddingInner": 0.32, "paddingOuter": 0.16},
    }
    color = {"field": "tone", "type": "nominal", "scale": None}
    layers: list[Layer] = [
        *_draw_samples(sample, low, high, x),
        _draw_rule(bars[0].end, x, {"color": "var(--bad)", "strokeDash": [6, 4], "opacity": 0.8}),
        {
            "mark": {"type": "bar", "cornerRadius": 3},
            "encoding": {"x": x, "x2": {"field": "end"}, "y": y, "color": color},
        },
        {
            "mark": {
                "type": "text",
                "align": "left",
                "dx": 7,
                "fontSize": 12,
                "color": "var(--ink)",
            },
            "encoding": {"x": {**x, "field": "right"}, "y": y, "text": {"field": "text"}},
        },
    ]
    data = {"values": [_as_row(bar) for bar in bars]}
    return render({"data": data, "layer": layers}, WIDE, _BAR * len(bars) + _AROUND)


def _across(title: str, low: float, high: float) -> Layer:
    room = _ROOM_FOR_TEXT * (high - low or 1.0)
    return {
        "field": "begin",
        "type": "quantitative",
        "title": title,
        "axis": {"grid": False, "tickCount": 6},
        "scale": {"domain": [low, high + room], "nice": False},
    }


def _as_row(bar: BudgetBar) -> dict[str, str | float]:
    return {
        "label": bar.label,
        "begin": bar.begin,
        "end": bar.end,
        "right": max(bar.begin, bar.end),
        "text": bar.text,
        "tone": bar.tone,
    }


def _draw_samples(sample: float, low: float, high: float, x: Layer) -> list[Layer]:
    if not sample:
        return []
    steps = range(math.ceil(low / sample - 1e-9), math.floor(high / sample + 1e-9) + 1)
    look = {"color": "var(--line)"}
    return [_draw_rule(step * sample, x, look) for step in steps]


def _draw_rule(place: float, x: Layer, look: Layer) -> Layer:
    return {
        "data": {"values": [{"begin": place}]},
        "mark": {"type": "rule", **look},
        "encoding": {"x": x},
    }
