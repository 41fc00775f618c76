"""Charts of a dashboard's panels over time, drawn by Vega-Lite; used by the pictures of dashboards."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from cluster.prometheus import Sequel
from dashboards import Panel, Span

__all__ = ["PALETTE", "Chart", "Named", "colour_of", "draw_chart", "show_value"]

PALETTE = {
    "blue": "#3274d9",
    "green": "#37872d",
    "orange": "#e0752d",
    "purple": "#8f3bb8",
    "red": "#c4162a",
    "super-light-blue": "#8ab8ff",
    "super-light-green": "#96d98d",
    "text": "#24292e",
    "yellow": "#e0b400",
}
"""Grafana's names of colours."""
_OTHERS = ["#3274d9", "#e0752d", "#37872d", "#8f3bb8", "#00868b", "#c4162a", "#e0b400", "#705da0"]
_AXIS_FORMATS = {
    "short": "format(datum.value, '.3~s')",
    "none": "format(datum.value, '.4~g')",
    "ops": "format(datum.value, '.2~g') + '/s'",
    "percentunit": "format(datum.value, '.0%')",
    "s": "datum.value >= 120 ? format(datum.value / 60, '.3~g') + ' min'"
    " : datum.value >= 1 || datum.value == 0 ? format(datum.value, '.3~g') + ' s'"
    " : format(datum.value * 1000, '.3~g') + ' ms'",
}
_MINUTE, _HOUR = 60, 3600
_SHORT = 900
"""Seconds of a time whose axis shows seconds."""
_FEW = 6
"""What is counted up to this has a tick for each number."""


@dataclass(frozen=True, slots=True)
class Named:
    """A series under the name of its legend."""

    name: str
    series: Sequel


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn, and how large."""

    panel: Panel
    lines: Sequence[Named]
    span: Span
    step: float
    width: int
    height: int


def draw_chart(chart: Chart) -> str:
    """Return an SVG element with the series of a panel over time."""
    svg: str = vl_convert.vegalite_to_svg(_build(chart))
    svg = svg[svg.index("<svg") :]
    # What is clipped refers to its frame by an id, which must be its own in the whole picture.
    return re.sub(r"\bclip(\d+)", rf"clip{chart.panel.raw['id']}-\1", svg)


def colour_of(panel: Panel, name: str, place: int) -> str:
    """Return the colour of a series: that of its name, else the next one."""
    for override in panel.raw["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == name:
            for one in override["properties"]:
                if one["id"] == "color":
                    return PALETTE[one["value"]["fixedColor"]]
    return _OTHERS[place % len(_OTHERS)]


def show_value(value: float, unit: str) -> str:
    """Return a figure as people read it, in a unit of Grafana's."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return _show_time(value)
    if unit == "ops":
        return f"{value:.2g}/s"
    return f"{value:.4g}"


def _show_time(seconds: float) -> str:
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.3g} min"
    return f"{seconds / _HOUR:.3g} h"


def _build(chart: Chart) -> dict[str, Any]:
    custom = chart.panel.raw["fieldConfig"]["defaults"].get("custom", {})
    is_stacked = custom.get("stacking", {}).get("mode") == "normal"
    names = [one.name for one in chart.lines]
    colours = [colour_of(chart.panel, name, place) for place, name in enumerate(names)]
    mark = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "clip": True}
    if is_stacked:
        mark = {"type": "area", "interpolate": "step-after", "opacity": 0.75, "clip": True}
    layers: list[dict[str, Any]] = [
        {"mark": mark, "encoding": _encode(chart, names, colours, is_stacked=is_stacked)}
    ]
    layers += _draw_steps(chart)
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": chart.width,
        "height": chart.height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 4,
        "background": None,
        "data": {"values": _list_rows(chart)},
        "layer": layers,
        "config": {
            "view": {"stroke": None},
            "axis": {"gridColor": "#e6e8eb", "domain": False, "tickColor": "#c7cbd1"},
            "legend": {
                "labelLimit": 260,
                "symbolType": "square" if is_stacked else "stroke",
                "symbolOpacity": 1,
                "symbolStrokeWidth": 3,
            },
        },
    }


def _encode(
    chart: Chart, names: list[str], colours: list[str], *, is_stacked: bool
) -> dict[str, Any]:
    defaults = chart.panel.raw["fieldConfig"]["defaults"]
    has_floor = is_stacked or "axisSoftMin" in defaults.get("custom", {})
    label = _AXIS_FORMATS[defaults["unit"]]
    top = _find_top(chart, is_stacked=is_stacked)
    # What is counted has no halves.
    is_count = defaults["unit"] == "short" and top <= _FEW
    steps = {"values": list(range(math.ceil(top) + 1))} if is_count else {"tickCount": 4}
    clock = "%H:%M:%S" if chart.span.end - chart.span.start < _SHORT else "%H:%M"
    columns = max(1, chart.width // (14 + 7 * max(map(len, names), default=1)))
    return {
        "x": {
            "field": "time",
            "type": "temporal",
            "title": None,
            "axis": {"format": clock, "tickCount": max(2, chart.width // 130), "grid": False},
            "scale": {
                "type": "utc",
                "domain": [chart.span.start * 1000, chart.span.end * 1000],
            },
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "title": None,
            "stack": "zero" if is_stacked else None,
            "axis": {"labelExpr": label, **steps},
            "scale": {"zero": has_floor, "nice": True} | ({} if top else {"domain": [0, 1]}),
        },
        "color": {
            "field": "name",
            "type": "nominal",
            "scale": {"domain": names, "range": colours},
            "legend": {"orient": "bottom", "title": None, "columns": columns},
        },
    }


def _find_top(chart: Chart, *, is_stacked: bool) -> float:
    """Return the highest value that is drawn; 0 where nothing is above."""
    tops: dict[float, float] = {}
    for one in chart.lines:
        for moment, value in one.series.points:
            before = tops.get(moment, 0.0)
            tops[moment] = before + value if is_stacked else max(before, value)
    return max((value for value in tops.values() if not math.isnan(value)), default=0.0)


def _draw_steps(chart: Chart) -> list[dict[str, Any]]:
    """Return the levels at which a colour begins, of those that are near the values."""
    thresholds = chart.panel.raw["fieldConfig"]["defaults"].get("thresholds", {})
    custom = chart.panel.raw["fieldConfig"]["defaults"].get("custom", {})
    if "thresholdsStyle" not in custom:
        return []
    largest = _find_top(chart, is_stacked=False)
    return [
        {
            "mark": {"type": "rule", "strokeDash": [4, 4], "color": PALETTE[step["color"]]},
            "encoding": {"y": {"datum": step["value"]}},
        }
        for step in thresholds["steps"]
        if step["value"] is not None and step["value"] <= 2 * largest
    ]


def _list_rows(chart: Chart) -> list[Mapping[str, Any]]:
    """Return the values; where a series is not there for a while, its line is broken."""
    rows: list[Mapping[str, Any]] = []
    for one in chart.lines:
        before = None
        for moment, value in one.series.points:
            if before is not None and moment - before > 3 * chart.step:
                rows.append({"name": one.name, "time": (before + 1) * 1000, "value": None})
            if not math.isnan(value):
                rows.append({"name": one.name, "time": moment * 1000, "value": value})
            before = moment
    return rows
