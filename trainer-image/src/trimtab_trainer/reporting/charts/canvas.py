"""What all charts share: the look, axes, marks of trials, and the way from a Vega-Lite spec to SVG.

SEAM to vl-convert, which renders offline. Colours are CSS variables, so one SVG fits the light and
the dark page. Used by the other modules of this package.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import vl_convert

__all__ = [
    "NARROW",
    "PERCENT_LABEL",
    "WIDE",
    "Axis",
    "Encoding",
    "Layer",
    "NumberStyle",
    "Tick",
    "TrialMark",
    "ValueRange",
    "encode_marks",
    "measure",
    "place_on",
    "render",
    "whole_numbers",
]

WIDE, NARROW = 980, 470
"""Widths in pixels: the whole card, and half of it."""

_VEGA_LITE = "6.1"
_HEIGHT = 290
_FEW_TICKS = 20
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_CONFIG: dict[str, Any] = {
    # The figure around the SVG has the words for screen readers.
    "aria": False,
    "background": None,
    "autosize": {"type": "fit", "contains": "padding"},
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.6,
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelFontSize": 11,
        "titleFontSize": 12,
    },
    "legend": {
        "aria": False,
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "direction": "horizontal",
        "offset": 8,
        "columnPadding": 22,
        "symbolOpacity": 1,
    },
}

Encoding = dict[str, Any]
Layer = dict[str, Any]


PERCENT_LABEL = "replace(datum.label, '%', ' %')"
"""Expression of Vega that writes percentages as texts do."""


class NumberStyle(StrEnum):
    """How Vega writes the numbers of an axis."""

    PERCENT = ".4~%"
    COUNT = ".4~s"
    PLAIN = ".4~g"


class TrialMark(StrEnum):
    """How a trial is drawn; the word stands in the legend."""

    TRIAL = "trial"
    LIMITED = "over a limit"
    STOPPED = "stopped early"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    EARLIER = "earlier job"


_COLORS = {
    TrialMark.TRIAL: "var(--accent)",
    TrialMark.LIMITED: "var(--warn)",
    TrialMark.STOPPED: "var(--faint)",
    TrialMark.INFEASIBLE: "var(--open)",
    TrialMark.FAILED: "var(--bad)",
    TrialMark.EARLIER: "var(--open)",
}
_SHAPES = {
    TrialMark.TRIAL: "circle",
    TrialMark.LIMITED: "triangle-up",
    TrialMark.STOPPED: "circle",
    TrialMark.INFEASIBLE: "cross",
    TrialMark.FAILED: "cross",
    TrialMark.EARLIER: "diamond",
}


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    position: float
    """0…1."""
    label: str


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The part of an objective's values that an axis shows."""

    best: float
    worst: float

    @property
    def domain(self) -> tuple[float, float]:
        """Return the ends, the smaller one first."""
        return min(self.best, self.worst), max(self.best, self.worst)

    def clamp(self, value: float) -> float:
        """Return the value, or the edge that it is beyond."""
        low, high = self.domain
        return min(max(value, low), high)

    def share(self, value: float) -> float:
        """Return the place of a value on an axis that begins at the smaller end, 0…1."""
        low, high = self.domain
        return (self.clamp(value) - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis whose values were already turned into places between 0 and 1."""

    title: str
    ticks: tuple[Tick, ...]


def measure(
    field: str, title: str, *, style: NumberStyle, limits: ValueRange | None = None
) -> Encoding:
    """Return the encoding of a value on an axis.

    Args:
        field: Where it stands in the data.
        title: Of the axis.
        style: Of its numbers.
        limits: The ends of the axis; None for those of the data.
    """
    scale: dict[str, Any] = {"zero": False, "nice": True}
    if limits is not None and limits.best != limits.worst:
        scale |= {"domain": list(limits.domain), "padding": 6}
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": {"format": style, "tickCount": 5, "labelExpr": PERCENT_LABEL},
        "scale": scale,
    }


def whole_numbers(values: Sequence[int]) -> dict[str, Any]:
    """Return an axis with whole ticks; Vega repeats the ticks of a short one."""
    axis: dict[str, Any] = {"format": "d", "grid": False}
    ticks = range(min(values), max(values) + 1)
    return {**axis, "values": list(ticks)} if len(ticks) <= _FEW_TICKS else axis


def place_on(axis: Axis, field: str) -> Encoding:
    """Return the encoding of a place on an axis with its own ticks.

    Args:
        axis: Its title and ticks.
        field: Where the place, 0…1, stands in the data.
    """
    labels = {f"{tick.position:.6f}": tick.label for tick in axis.ticks}
    return {
        "field": field,
        "type": "quantitative",
        "title": axis.title,
        "scale": {"domain": [0, 1], "nice": False, "padding": 10},
        "axis": {
            "grid": False,
            "values": [tick.position for tick in axis.ticks],
            "labelExpr": f"{json.dumps(labels)}[format(datum.value, '.6f')]",
            "labelLimit": 90,
        },
    }


def encode_marks(
    marks: Collection[TrialMark],
    *,
    lines: Mapping[str, str] | None = None,
    legend: bool = True,
) -> Encoding:
    """Return the encodings of colour and shape by the field `mark`.

    Args:
        marks: Those of the points.
        lines: Entries of the legend for lines, name → colour; layers draw them with `datum`.
        legend: Whether a legend tells what is there.
    """
    lines = lines or {}
    present = [mark for mark in TrialMark if mark in marks]
    names = [*map(str, present), *lines]
    colors = [*(_COLORS[mark] for mark in present), *lines.values()]
    shapes = [*(_SHAPES[mark] for mark in present), *("stroke" for _ in lines)]
    shown: dict[str, Any] = {} if legend and len(names) > 1 else {"legend": None}
    return {
        "color": {"field": "mark", "scale": {"domain": names, "range": colors}, **shown},
        "shape": {"field": "mark", "scale": {"domain": names, "range": shapes}, **shown},
    }


def render(spec: dict[str, Any], width: int, height: int = _HEIGHT) -> str:
    """Return a Vega-Lite spec as SVG.

    Args:
        spec: Without size and look.
        width: Pixels, axes and legend included.
        height: Pixels, axes and legend included.
    """
    sized = {"width": width, "height": height, "config": _CONFIG, **spec}
    svg: str = vl_convert.vegalite_to_svg(sized, vl_version=_VEGA_LITE)
    return svg
