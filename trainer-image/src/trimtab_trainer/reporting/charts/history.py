"""The charts of a search over time: trials by number, their learning curves, the workers' lanes.

Called by `search_charts` with the points of `trial_points`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_trainer.reporting.charts.canvas import (
    WIDE,
    Encoding,
    Layer,
    NumberStyle,
    TrialMark,
    ValueRange,
    encode_marks,
    measure,
    render,
    whole_numbers,
)
from trimtab_trainer.reporting.charts.strip import draw_beyond, draw_strip, fit_axis

__all__ = [
    "Curve",
    "RunStart",
    "Span",
    "TrialPoint",
    "draw_curves",
    "draw_history",
    "draw_timeline",
]

_BEST = "best so far"
_EARLIER = "best of the earlier job"
_BEST_CURVE = "best"
_TONES = {
    _BEST_CURVE: "var(--good)",
    TrialMark.TRIAL: "var(--accent)",
    TrialMark.STOPPED: "var(--faint)",
    TrialMark.FAILED: "var(--bad)",
}
_LINE = {"type": "line", "clip": True, "opacity": 1}
_MANY_POINTS, _MANY = 150, 50
_INSTANT = 1e-9
_MINUTE, _HOUR = 60, 3600
# The height of a start, of the least one that holds a number, of what is around, of all: pixels.
_LANE, _LEAST_LANE, _AROUND, _TALLEST = 22, 14, 90, 420
# What a bar must be wide for its number, and for a gap beside the next one, in pixels.
_ROOM_FOR_NUMBER, _ROOM_FOR_GAP = 30, 4
_PLOT_WIDTH = 900


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """A trial in the history of a search."""

    number: int
    value: float | None
    """None where the trial ended without one."""
    best: float | None
    """The best value up to here."""
    mark: TrialMark = TrialMark.TRIAL


@dataclass(frozen=True, slots=True)
class Curve:
    """The values of a trial after each epoch."""

    number: int
    values: tuple[tuple[int, float], ...]
    """(epoch, value), at least one."""
    mark: TrialMark
    is_best: bool


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a trial took in a slot."""

    number: int
    slot: int
    start: float
    """Seconds on the axis."""
    work: float
    """Where its epochs begin, if what they did not take came before them."""
    end: float
    mark: TrialMark


@dataclass(frozen=True, slots=True)
class RunStart:
    """A start of the run on the axis of time."""

    label: str
    start: float
    """Seconds on the axis."""


def draw_history(
    points: Sequence[TrialPoint],
    *,
    metric: str,
    style: NumberStyle,
    limits: ValueRange,
    earlier: float | None = None,
) -> str:
    """Return the history of a search as SVG: each trial, the best so far, trials without a value.

    Args:
        points: By number; at least one has a value.
        metric: Label of the vertical axis.
        style: Of the values.
        limits: The ends of the vertical axis; what is worse, or has no value, stands in a strip.
        earlier: The best value of an earlier job, where the search knew one.
    """
    values = [point.value for point in points]
    axis = fit_axis(limits, values, style=style)
    rows = [
        {
            "number": point.number,
            "value": axis.place(point.value),
            "best": None if point.best is None else axis.place(point.best),
            "mark": point.mark,
            "beyond": point.value is not None and axis.is_beyond(point.value),
        }
        for point in points
    ]
    y = axis.encode("value", metric)
    x = {
        "field": "number",
        "type": "quantitative",
        "title": "trial",
        "axis": whole_numbers([point.number for point in points]),
        "scale": {"nice": False, "padding": 12},
    }
    lines = {_BEST: "var(--good)"} | ({} if earlier is None else {_EARLIER: "var(--open)"})
    marks = {point.mark for point in points}
    size = 22 if len(points) > _MANY_POINTS else 60
    layers: list[Layer] = [
        {
            "transform": [{"filter": "!datum.beyond"}],
            "mark": {"type": "point", "filled": True, "size": size, "opacity": 0.85},
            "encoding": {"x": x, "y": y, **encode_marks(marks, lines=lines)},
        },
        draw_beyond(axis, {"x": x, "y": y}, marks, lines=lines, size=size),
        {
            "transform": [{"filter": "isValid(datum.best)"}],
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
            "encoding": {"x": x, "y": {**y, "field": "best"}, "color": {"datum": _BEST}},
        },
    ]
    if earlier is not None:
        layers.append(_draw_earlier(axis.place(earlier), y))
    layers = [*draw_strip(axis, y), *layers]
    return render({"data": {"values": rows}, "layer": layers}, WIDE)


def _draw_earlier(value: float, y: Encoding) -> Layer:
    return {
        "data": {"values": [{"earlier": value}]},
        "mark": {"type": "rule", "strokeDash": [6, 4]},
        "encoding": {
            "x": {"value": 0},
            "x2": {"value": "width"},
            "y": {**y, "field": "earlier"},
            "color": {"datum": _EARLIER},
        },
    }


def draw_curves(
    curves: Sequence[Curve], *, metric: str, style: NumberStyle, limits: ValueRange
) -> str:
    """Return the learning curves of trials as SVG; a dot ends those that were stopped early.

    Args:
        curves: At least one.
        metric: Label of the vertical axis.
        style: Of the values.
        limits: The ends of the vertical axis; curves come in from its edge.
    """
    rows: list[dict[str, Any]] = [
        {
            "trial": curve.number,
            "epoch": epoch,
            "value": value,
            "tone": _tone(curve),
            "end": epoch == curve.values[-1][0] and value == limits.clamp(value),
        }
        for curve in curves
        for epoch, value in curve.values
    ]
    tones = [tone for tone in _TONES if tone in {row["tone"] for row in rows}]
    encoding = {
        "x": {
            "field": "epoch",
            "type": "quantitative",
            "axis": whole_numbers([row["epoch"] for row in rows]),
            "scale": {"zero": False, "nice": False, "padding": 8},
        },
        "y": measure("value", metric, style=style, limits=limits),
        "color": {
            "field": "tone",
            "scale": {"domain": tones, "range": [_TONES[tone] for tone in tones]},
        },
    }
    layers: list[Layer] = [
        {
            "transform": [{"filter": f"datum.tone !== '{_BEST_CURVE}'"}],
            "mark": {**_LINE, "strokeWidth": 1.2, "opacity": 0.3 if len(curves) > _MANY else 0.55},
            "encoding": {"detail": {"field": "trial"}},
        },
        {
            "transform": [{"filter": f"datum.end && datum.tone === '{TrialMark.STOPPED}'"}],
            "mark": {"type": "point", "filled": True, "size": 22, "opacity": 0.9},
        },
        {
            "transform": [{"filter": f"datum.tone === '{_BEST_CURVE}'"}],
            "mark": {**_LINE, "strokeWidth": 2.6},
        },
    ]
    return render({"data": {"values": rows}, "encoding": encoding, "layer": layers}, WIDE)


def _tone(curve: Curve) -> str:
    if curve.is_best:
        return _BEST_CURVE
    return curve.mark if curve.mark in _TONES else TrialMark.TRIAL


def draw_timeline(spans: Sequence[Span], starts: Sequence[RunStart], *, slots: int) -> str:
    """Return when each trial ran, and where, as SVG: a lane per slot, a bar per trial.

    The part of a bar that no epoch took is lighter.

    Args:
        spans: At least one.
        starts: The starts of the run; each but the first begins with a line.
        slots: How many lanes.
    """
    seconds = max(span.end for span in spans)
    unit, divisor = _unit(seconds)
    height = min(_AROUND + _LANE * slots, _TALLEST)
    x = {
        "field": "start",
        "type": "quantitative",
        "title": f"time ({unit})",
        "axis": {"grid": False, "tickCount": 8},
        "scale": {"domain": [0, seconds / divisor], "nice": False},
    }
    y = {
        "field": "slot",
        "type": "ordinal",
        "title": "slot",
        "axis": {"grid": False, "labelOverlap": True, "labelAngle": 0},
        "scale": {"domain": list(range(slots)), "paddingInner": 0.15},
    }
    layers: list[Layer] = [
        {
            "mark": {"type": "bar", "stroke": "var(--card)", "opacity": opacity},
            "encoding": {
                "x": {**x, "field": begin},
                "x2": {"field": end},
                "y": y,
                "color": encode_marks({span.mark for span in spans})["color"],
                "strokeWidth": {"field": "gap", "type": "quantitative", "scale": None},
            },
        }
        for begin, end, opacity in (("start", "work", 0.35), ("work", "end", 0.9))
    ]
    if height - _AROUND >= _LEAST_LANE * slots:
        layers.append(
            {
                "transform": [{"filter": "datum.width >= " + str(_ROOM_FOR_NUMBER)}],
                "mark": {"type": "text", "fontSize": 10, "color": "var(--card)"},
                "encoding": {"x": {**x, "field": "middle"}, "y": y, "text": {"field": "number"}},
            }
        )
    if len(starts) > 1:
        layers += _draw_starts(starts[1:], x, divisor)
    rows = [_bar(span, divisor, _PLOT_WIDTH / max(seconds, _INSTANT)) for span in spans]
    return render({"data": {"values": rows}, "layer": layers}, WIDE, height)


def _bar(span: Span, divisor: float, per_second: float) -> dict[str, Any]:
    width = (span.end - span.start) * per_second
    return {
        "slot": span.slot,
        "start": span.start / divisor,
        "work": span.work / divisor,
        "end": span.end / divisor,
        "middle": (span.start + span.end) / 2 / divisor,
        "mark": span.mark,
        "number": str(span.number),
        "width": width,
        "gap": int(width >= _ROOM_FOR_GAP),
    }


def _draw_starts(starts: Sequence[RunStart], x: Encoding, divisor: float) -> list[Layer]:
    rows: list[dict[str, Any]] = [
        {"start": start.start / divisor, "label": start.label} for start in starts
    ]
    text = {"type": "text", "align": "left", "dx": 4, "dy": -6, "color": "var(--muted)"}
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [4, 3]},
            "encoding": {"x": x},
        },
        {
            "data": {"values": rows},
            "mark": text,
            "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "label"}},
        },
    ]


def _unit(seconds: float) -> tuple[str, float]:
    if seconds >= 2 * _HOUR:
        return "h", _HOUR
    return ("min", _MINUTE) if seconds >= 2 * _MINUTE else ("s", 1)
