"""The charts of the HTML report: plain values → Vega-Lite → inline SVG, rendered offline.

SEAM to vl-convert. Called by `html`, which decides what is drawn. Colours are CSS variables, so one
SVG fits the light and the dark page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

__all__ = [
    "CandidatePoint",
    "TrialPoint",
    "draw_candidates",
    "draw_epochs",
    "draw_trials",
    "number_format",
]

_VEGA_LITE = "6.1"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_WIDE, _NARROW, _HEIGHT = 980, 470, 290
_AXIS = {
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
}
_CONFIG: dict[str, Any] = {
    "background": None,
    "autosize": {"type": "fit", "contains": "padding"},
    "font": _FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "direction": "horizontal",
        "offset": 8,
    },
}

# Names stand right of their points, on the first of these heights (pixels) where they are free.
_ROOM_FOR_NAMES = 1.25
_NAME_HEIGHTS = (-8, 10, -22, 24, -36, 38, -50, 52)
_LETTER_WIDTH, _LINE_HEIGHT = 7.5, 13
# What axes and legend leave of a narrow chart.
_PLOT_WIDTH, _PLOT_HEIGHT = 390, 200
_NAME_MARK = {
    "type": "text",
    "align": "left",
    "baseline": "middle",
    "dx": 9,
    "fontSize": 11.5,
    "color": "var(--ink)",
}

_FEW_TICKS = 20

Encoding = dict[str, Any]
Layer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """A trial in the history of a search."""

    number: int
    value: float | None
    """None where the trial ended without one."""
    best: float | None
    """The best value up to here."""


@dataclass(frozen=True, slots=True)
class CandidatePoint:
    """A candidate in a plot of quality against cost."""

    name: str
    cost: float
    quality: float
    role: str
    """Shown in the legend: `ships`, `candidate`, `rejected`."""
    on_front: bool
    """Whether no other candidate is better in both."""


def number_format(*, percent: bool) -> str:
    """Return how Vega writes a number on an axis."""
    return ".4~%" if percent else ".4~g"


def draw_trials(points: Sequence[TrialPoint], *, metric: str, percent: bool) -> str:
    """Return the history of a search as SVG: each trial, the best so far, trials without a value.

    Args:
        points: By number; at least one has a value.
        metric: Label of the vertical axis.
        percent: Whether values are fractions.
    """
    rows = [{"number": p.number, "value": p.value, "best": p.best} for p in points]
    lowest = min(point.value for point in points if point.value is not None)
    y: Encoding = {
        **_axis("value", metric, percent=percent),
        "scale": {"zero": False, "nice": True},
    }
    x = {
        "field": "number",
        "type": "quantitative",
        "title": "trial",
        "axis": _whole_numbers([point.number for point in points]),
        "scale": {"nice": False, "padding": 12},
    }
    layers: list[Layer] = [
        {
            "transform": [{"filter": "datum.best !== null"}],
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
            "encoding": {"y": {**y, "field": "best"}, "color": {"datum": "best so far"}},
        },
        {
            "transform": [{"filter": "datum.value !== null"}],
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9},
            "encoding": {"y": y, "color": {"datum": "trial"}},
        },
        {
            "transform": [{"filter": "datum.value === null"}],
            "mark": {"type": "point", "shape": "cross", "angle": 45, "filled": True, "size": 60},
            "encoding": {"y": {"datum": lowest}, "color": {"datum": "ended without a value"}},
        },
    ]
    if all(point.value is not None for point in points):
        layers.pop()
    names = ["trial", "best so far", "ended without a value"][: len(layers)]
    colors = ["var(--accent)", "var(--good)", "var(--bad)"]
    scale = {"domain": names, "range": colors[: len(layers)]}
    for layer in layers:
        layer["encoding"]["color"]["scale"] = scale
    return _render({"data": {"values": rows}, "encoding": {"x": x}, "layer": layers}, _WIDE)


def draw_candidates(
    points: Sequence[CandidatePoint],
    *,
    cost: str,
    metric: str,
    percent: bool,
    limit: float | None,
) -> str:
    """Return candidates as SVG, quality against cost, the front of the best joined by a line.

    Args:
        points: At least one.
        cost: Label of the horizontal axis.
        metric: Label of the vertical axis.
        percent: Whether the metric is a fraction.
        limit: The worst value that the accuracy budget allows; None without a budget.
    """
    rows = [
        {"name": p.name, "cost": p.cost, "quality": p.quality, "role": p.role, "front": p.on_front}
        for p in points
    ]
    y = {**_axis("quality", metric, percent=percent), "scale": {"zero": False, "padding": 14}}
    x = {
        "field": "cost",
        "type": "quantitative",
        "title": cost,
        "axis": {"grid": False, "tickCount": 5},
        "scale": {"domain": [0, _ROOM_FOR_NAMES * max(point.cost for point in points)]},
    }
    roles = ["ships", "candidate", "rejected"]
    color = {
        "field": "role",
        "scale": {"domain": roles, "range": ["var(--good)", "var(--accent)", "var(--faint)"]},
    }
    layers: list[Layer] = [
        {
            "transform": [{"filter": "datum.front"}],
            "mark": {"type": "line", "color": "var(--line-strong)", "strokeDash": [2, 3]},
            "encoding": {"x": x, "y": y, "order": {"field": "cost", "type": "quantitative"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": color},
        },
    ]
    heights = _place_names(points, limit)
    layers += [
        {
            "transform": [{"filter": {"field": "name", "equal": point.name}}],
            "mark": {**_NAME_MARK, "dy": height},
            "encoding": {"x": x, "y": y, "text": {"field": "name"}},
        }
        for point, height in zip(points, heights, strict=True)
    ]
    if limit is not None:
        layers.insert(0, _limit_line(limit))
    return _render({"data": {"values": rows}, "layer": layers}, _NARROW)


def _place_names(points: Sequence[CandidatePoint], limit: float | None) -> list[int]:
    """Return for each point how far below it its name stands, so that names do not overlap."""
    widest = _ROOM_FOR_NAMES * max(point.cost for point in points)
    values = [point.quality for point in points] + ([] if limit is None else [limit])
    span = max(values) - min(values) or 1.0
    taken: list[tuple[float, float, float]] = []
    heights = []
    for point in points:
        left = point.cost / widest * _PLOT_WIDTH
        right = left + _LETTER_WIDTH * len(point.name)
        middle = (max(values) - point.quality) / span * _PLOT_HEIGHT
        free = [
            height
            for height in _NAME_HEIGHTS
            if not any(
                left < other_right
                and other_left < right
                and abs(middle + height - other) < _LINE_HEIGHT
                for other_left, other_right, other in taken
            )
        ]
        heights.append(free[0] if free else _NAME_HEIGHTS[0])
        taken.append((left, right, middle + heights[-1]))
    return heights


def _limit_line(limit: float) -> Layer:
    return {
        "data": {"values": [{"limit": limit}]},
        "mark": {"type": "rule", "color": "var(--bad)", "strokeDash": [6, 4], "opacity": 0.8},
        "encoding": {"y": {"field": "limit", "type": "quantitative"}},
    }


def draw_epochs(
    curves: Mapping[str, Sequence[tuple[int, float]]], *, label: str, percent: bool
) -> str:
    """Return values per epoch as SVG, one line per name.

    Args:
        curves: Name → (epoch, value), at least one pair in all.
        label: Label of the vertical axis.
        percent: Whether values are fractions.
    """
    rows: list[dict[str, Any]] = [
        {"curve": name, "epoch": epoch, "value": value}
        for name, pairs in curves.items()
        for epoch, value in pairs
    ]
    colors = ["var(--accent)", "var(--good)", "var(--warn)"]
    color: Encoding = {
        "field": "curve",
        "scale": {"domain": list(curves), "range": colors[: len(curves)]},
    }
    if len(curves) == 1:
        color["legend"] = None
    encoding = {
        "x": {
            "field": "epoch",
            "type": "quantitative",
            "axis": _whole_numbers([row["epoch"] for row in rows]),
            "scale": {"zero": False, "nice": False, "padding": 8},
        },
        "y": {**_axis("value", label, percent=percent), "scale": {"zero": False}},
        "color": color,
    }
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 28, "filled": True}}
    return _render({"data": {"values": rows}, "mark": mark, "encoding": encoding}, _NARROW)


def _whole_numbers(values: Sequence[int]) -> dict[str, Any]:
    """Return an axis with whole ticks; Vega repeats the ticks of a short one."""
    axis: dict[str, Any] = {"format": "d", "grid": False}
    ticks = range(min(values), max(values) + 1)
    return {**axis, "values": list(ticks)} if len(ticks) <= _FEW_TICKS else axis


def _axis(field: str, title: str, *, percent: bool) -> Encoding:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": {"format": number_format(percent=percent), "tickCount": 5},
    }


def _render(spec: dict[str, Any], width: int) -> str:
    sized = {"width": width, "height": _HEIGHT, "config": _CONFIG, **spec}
    svg: str = vl_convert.vegalite_to_svg(sized, vl_version=_VEGA_LITE)
    return svg
