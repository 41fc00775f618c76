"""The charts of a search over its space: slices, parallel coordinates, pairs of objectives.

Called by `search_charts` with the points of `trial_points`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trimtab_trainer.reporting.charts.canvas import (
    WIDE,
    Axis,
    Layer,
    NumberStyle,
    TrialMark,
    ValueRange,
    encode_marks,
    place_on,
    render,
)
from trimtab_trainer.reporting.charts.strip import draw_beyond, draw_strip, fit_axis

__all__ = [
    "FrontPoint",
    "ParallelLine",
    "SlicePoint",
    "Tone",
    "draw_front",
    "draw_parallel",
    "draw_slice",
]

_THIRD = 320
_LOW, _TALL = 210, 330
_MANY = 150
_FRONT = "no trial is better in both"
# Drawn below the labels of axes, so that they can be read across lines.
_HALO = {"stroke": "var(--card)", "strokeWidth": 3, "strokeJoin": "round", "color": "var(--card)"}


@dataclass(frozen=True, slots=True)
class SlicePoint:
    """A trial in a plot of an objective against one parameter."""

    place: float
    """Of the parameter's value on its axis, 0…1."""
    value: float
    age: float
    """0 for the first trial, 1 for the last."""
    mark: TrialMark
    is_best: bool


class Tone(StrEnum):
    """How a line of the parallel coordinates is drawn; the word stands in the legend."""

    OTHER = "other trials"
    TOP = "best tenth"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class ParallelLine:
    """A trial across the parallel axes."""

    number: int
    places: tuple[float, ...]
    """One per axis, 0…1."""
    tone: Tone


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A trial by two objectives."""

    x: float
    y: float
    mark: TrialMark
    on_front: bool
    """Whether no other trial is better in both."""


def draw_slice(
    points: Sequence[SlicePoint], axis: Axis, *, metric: str, style: NumberStyle, limits: ValueRange
) -> str:
    """Return an objective against one parameter as SVG; later trials are darker.

    Args:
        points: At least one.
        axis: The parameter's.
        metric: Label of the vertical axis.
        style: Of the values.
        limits: The ends of the vertical axis; what is worse stands in a strip.
    """
    axis_up = fit_axis(limits, [point.value for point in points], style=style)
    rows = [
        {
            "place": point.place,
            "value": axis_up.place(point.value),
            "beyond": axis_up.is_beyond(point.value),
            "age": point.age,
            "mark": point.mark,
            "best": point.is_best,
        }
        for point in points
    ]
    x = place_on(axis, "place")
    y = axis_up.encode("value", metric)
    present = {point.mark for point in points}
    marks = encode_marks(present, legend=False)
    size = 16 if len(points) > _MANY else 36
    age = {
        "field": "age",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": [0.25, 0.95]},
        "legend": None,
    }
    layers: list[Layer] = [
        {
            "transform": [{"filter": "!datum.best && !datum.beyond"}],
            "mark": {"type": "point", "filled": True, "size": size},
            "encoding": {"x": x, "y": y, "opacity": age, **marks},
        },
        draw_beyond(axis_up, {"x": x, "y": y, "opacity": age}, present, size=size),
        {
            "transform": [{"filter": "datum.best"}],
            "mark": {
                "type": "point",
                "filled": True,
                "size": 90,
                "opacity": 1,
                "color": "var(--good)",
            },
            "encoding": {"x": x, "y": y},
        },
    ]
    layers = [*draw_strip(axis_up, y), *layers]
    return render({"data": {"values": rows}, "layer": layers}, _THIRD, _LOW)


def draw_parallel(axes: Sequence[Axis], lines: Sequence[ParallelLine]) -> str:
    """Return trials as lines across parallel axes as SVG, the best ones on top.

    Args:
        axes: At least two; the last ones are objectives.
        lines: At least one.
    """
    order = list(Tone)
    rows = [
        {"trial": line.number, "axis": index, "place": place, "tone": line.tone}
        for line in sorted(lines, key=lambda line: order.index(line.tone))
        for index, place in enumerate(line.places)
    ]
    ticks = [
        {"axis": index, "place": tick.position, "label": tick.label}
        for index, axis in enumerate(axes)
        for tick in axis.ticks
    ]
    heads = [{"axis": index, "title": axis.title} for index, axis in enumerate(axes)]
    x = {
        "field": "axis",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [0, len(axes) - 1], "nice": False, "padding": 50},
    }
    y = {
        "field": "place",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [0, 1], "nice": False},
    }
    layers: list[Layer] = [
        *(_draw_lines(tone, x, y, faint=len(lines) > _MANY) for tone in order),
        {
            "data": {"values": heads},
            "mark": {"type": "rule", "color": "var(--line-strong)"},
            "encoding": {"x": x, "y": {"value": 0}, "y2": {"value": "height"}},
        },
        *(
            {
                "data": {"values": ticks},
                "mark": {"type": "text", "align": "right", "dx": -5, "fontSize": 11, **look},
                "encoding": {"x": x, "y": y, "text": {"field": "label"}},
            }
            for look in (_HALO, {"color": "var(--ink)"})
        ),
        {
            "data": {"values": heads},
            "mark": {"type": "text", "dy": 16, "fontSize": 12, "color": "var(--ink)"},
            "encoding": {"x": x, "y": {"value": "height"}, "text": {"field": "title"}},
        },
    ]
    return render({"data": {"values": rows}, "layer": layers}, WIDE, _TALL)


def _draw_lines(tone: Tone, x: Layer, y: Layer, *, faint: bool) -> Layer:
    colors = {Tone.OTHER: "var(--faint)", Tone.TOP: "var(--accent)", Tone.BEST: "var(--good)"}
    widths = {Tone.OTHER: 1.0, Tone.TOP: 1.2, Tone.BEST: 2.6}
    opacities = {
        Tone.OTHER: 0.2 if faint else 0.4,
        Tone.TOP: 0.45 if faint else 0.75,
        Tone.BEST: 1.0,
    }
    scale = {"domain": list(colors), "range": list(colors.values())}
    return {
        "transform": [{"filter": f"datum.tone === '{tone}'"}],
        "mark": {
            "type": "line",
            "interpolate": "monotone",
            "strokeWidth": widths[tone],
            "opacity": opacities[tone],
        },
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "trial"},
            "color": {"field": "tone", "scale": scale},
        },
    }


def draw_front(
    points: Sequence[FrontPoint],
    width: int,
    *,
    x: tuple[str, NumberStyle],
    y: tuple[str, NumberStyle],
    limits: ValueRange,
) -> str:
    """Return trials by two objectives as SVG, the front of the best joined by a line.

    Args:
        points: At least one.
        width: In pixels.
        x: Label of the horizontal axis, and the style of its values.
        y: The same of the vertical one.
        limits: The ends of the vertical axis, with the front inside; what is worse stands in a
            strip.
    """
    present = {point.mark for point in points}
    axis = fit_axis(limits, [point.y for point in points], style=y[1])
    rows = [
        {
            "x": point.x,
            "y": axis.place(point.y),
            "mark": point.mark,
            "front": point.on_front,
            "beyond": axis.is_beyond(point.y),
        }
        for point in points
    ]
    costs = [point.x for point in points]
    spread = fit_axis(ValueRange(max(costs), min(costs)), costs, style=x[1])
    across, up = spread.encode("x", x[0]), axis.encode("y", y[0])
    across["axis"]["grid"] = False
    lines = {_FRONT: "var(--good)"}
    size = 26 if len(points) > _MANY else 60
    layers: list[Layer] = [
        {
            "transform": [{"filter": "!datum.beyond"}],
            "mark": {"type": "point", "filled": True, "size": size, "opacity": 0.6},
            "encoding": {"x": across, "y": up, **encode_marks(present, lines=lines)},
        },
        draw_beyond(axis, {"x": across, "y": up}, present, lines=lines, size=size),
        {
            "transform": [{"filter": "datum.front"}],
            "mark": {
                "type": "line",
                "strokeWidth": 1.5,
                "point": {"size": 60, "filled": True, "opacity": 1},
            },
            "encoding": {
                "x": across,
                "y": up,
                "order": {"field": "x", "type": "quantitative"},
                "color": {"datum": _FRONT},
            },
        },
    ]
    return render({"data": {"values": rows}, "layer": [*draw_strip(axis, up), *layers]}, width)
