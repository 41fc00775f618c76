"""A value axis with a strip beyond its worse end, for trials that the axis leaves out. Pure.

Used by the history and by the slices. A few poor trials would flatten all others, so the axis ends
before them; they stand in the strip as hollow triangles, apart from every value on the axis.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from trimtab_trainer.reporting.charts.canvas import (
    Encoding,
    Layer,
    NumberStyle,
    TrialMark,
    ValueRange,
    encode_marks,
    measure,
)
from trimtab_trainer.reporting.charts.numbers import label_number, round_ticks

__all__ = ["StripAxis", "draw_beyond", "draw_strip", "fit_axis"]

# Shares of the axis: what is free between it and the strip, and the strip.
_GAP, _HEIGHT = 0.05, 0.17
_LEAST_SPREAD = 0.01
_TICKS = 5
# Pixels of a letter of the label, and between it and the strip.
_LETTER, _ASIDE = 5.5, 6


@dataclass(frozen=True, slots=True)
class StripAxis:
    """The axis and its strip, in the values' unit."""

    low: float
    high: float
    style: NumberStyle
    is_below: bool
    """Whether the strip is below the axis; above it where smaller values are better."""
    label: tuple[str, ...]
    """Lines that say what stands in the strip; empty where there is none."""

    @property
    def strip(self) -> tuple[float, float]:
        """Return the ends of the strip, the one at the axis first."""
        span, sign = self.high - self.low, -1 if self.is_below else 1
        edge = self.low if self.is_below else self.high
        return edge + sign * _GAP * span, edge + sign * (_GAP + _HEIGHT) * span

    def is_beyond(self, value: float | None) -> bool:
        """Return whether a trial stands in the strip; one without a value does."""
        return value is None or (value < self.low if self.is_below else value > self.high)

    def place(self, value: float | None) -> float:
        """Return where a value stands: at itself, or in the middle of the strip."""
        if value is None or self.is_beyond(value):
            return sum(self.strip) / 2
        return min(max(value, self.low), self.high)

    def encode(self, field: str, title: str) -> Encoding:
        """Return the encoding of places on it, with ticks outside the strip only."""
        encoding = measure(field, title, style=self.style)
        ends = (self.low, self.high, *(self.strip if self.label else ()))
        ticks = round_ticks(self.low, self.high, about=_TICKS)
        encoding["axis"] |= {"values": ticks, "tickCount": len(ticks)}  # a lower count thins values
        if self.label:
            encoding["axis"]["minExtent"] = _LETTER * max(map(len, self.label)) + _ASIDE
        encoding["scale"] = {
            "zero": False,
            "nice": False,
            "domain": [min(ends), max(ends)],
            "padding": 6,
        }
        return encoding


def fit_axis(
    limits: ValueRange, values: Sequence[float | None], *, style: NumberStyle
) -> StripAxis:
    """Return an axis of limits with a strip where some trials need it.

    Args:
        limits: The ends of the axis; equal ones are moved apart.
        values: Of all trials; None for one without a value.
        style: Of the values.
    """
    low, high = limits.domain
    known = [value for value in values if value is not None]
    is_below = limits.best > limits.worst or (low == high and min(known, default=low) <= low)
    if low == high:
        spread = _LEAST_SPREAD * (abs(low) or 1.0)
        low, high = low - spread, high + spread
        if style is NumberStyle.PERCENT and limits.best <= 1:
            high = min(high, 1.0)  # no share is more than all
    axis = StripAxis(low, high, style, is_below, ())
    beyond = any(axis.is_beyond(value) for value in known)
    edge, word = (low, "below") if is_below else (high, "above")
    parts = [f"{word} {label_number(edge, style)}"] if beyond else []
    if len(known) < len(values):
        parts.append("or no value" if beyond else "no value")
    return StripAxis(low, high, style, is_below, tuple(parts))


def draw_strip(axis: StripAxis, y: Encoding) -> list[Layer]:
    """Return the ground of the strip, with its label; nothing where there is no strip."""
    if not axis.label:
        return []
    near, far = axis.strip
    data = {
        "values": [{"near": near, "far": far, "middle": (near + far) / 2, "text": list(axis.label)}]
    }
    left = {"x": {"value": 0}}
    return [
        {
            "data": data,
            "mark": {"type": "rect", "color": "var(--line)", "opacity": 0.45},
            "encoding": {
                **left,
                "x2": {"value": "width"},
                "y": {**y, "field": "near"},
                "y2": {"field": "far"},
            },
        },
        {
            "data": data,
            "mark": {
                "type": "text",
                "align": "right",
                "baseline": "middle",
                "dx": -_ASIDE,
                "fontSize": 10,
                "lineHeight": 11,
                "color": "var(--muted)",
            },
            "encoding": {
                **left,
                "y": {**y, "field": "middle"},
                "text": {"field": "text"},
            },
        },
    ]


def draw_beyond(
    axis: StripAxis,
    place: Mapping[str, Encoding],
    marks: Collection[TrialMark],
    *,
    lines: Mapping[str, str] | None = None,
    size: int,
) -> Layer:
    """Return the layer of the trials that are worse than the axis shows, by the field `beyond`.

    Args:
        axis: Where they stand.
        place: Encodings of both axes.
        marks: Those of all points, which give the colours.
        lines: Entries of the legend for lines, as the other points have them; None for no legend.
        size: Of a point, in square pixels.
    """
    # Legends of one scale are joined, and one layer without hides it for all.
    colors = encode_marks(marks, lines=lines, legend=lines is not None)
    return {
        "transform": [{"filter": "datum.beyond"}],
        "mark": {
            "type": "point",
            "filled": False,
            "shape": "triangle-down" if axis.is_below else "triangle-up",
            "size": size,
            "strokeWidth": 1.4,
            "opacity": 0.95,
        },
        "encoding": {**place, "color": colors["color"]},
    }
