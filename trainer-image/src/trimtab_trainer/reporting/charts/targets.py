"""The chart of a target: candidates by quality and cost, what ships, and the accuracy budget.

Called by `html` with the points of `target_view`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab_api.reports import ChoiceOutcome
from trimtab_api.wording import name_outcome
from trimtab_trainer.reporting.charts.canvas import (
    NARROW,
    Encoding,
    Layer,
    NumberStyle,
    ValueRange,
    render,
)
from trimtab_trainer.reporting.charts.strip import StripAxis, fit_axis

__all__ = ["CandidatePoint", "draw_candidates"]

# Names stand right of their points, on the first of these heights (pixels) where they are free and
# stay below the legend; a line leads to those that stand apart.
_ROOM_FOR_NAMES = 1.25
_NAME_HEIGHTS = (-8, 10, 0, -22, 24, -36, 38, -50, 52, -64, 66, -78, 80, -92, 94, 108)
_APART = 12
_OVERHANG = 8
_LETTER_WIDTH, _LINE_HEIGHT = 7.5, 13
# What axes and legend leave of a narrow chart.
_PLOT_WIDTH, _PLOT_HEIGHT = 390, 200
# Pixels around the values, of a point's half, and from its middle to its name.
_PADDING, _RADIUS, _ASIDE = 14, 6, 9
_NAME_MARK = {
    "type": "text",
    "align": "left",
    "baseline": "middle",
    "dx": _ASIDE,
    "fontSize": 11.5,
    "color": "var(--ink)",
}


_COLORS = {
    ChoiceOutcome.SHIPS: "var(--good)",
    ChoiceOutcome.FEASIBLE: "var(--accent)",
    ChoiceOutcome.OVER_LIMIT: "var(--warn)",
    ChoiceOutcome.REJECTED: "var(--faint)",
    ChoiceOutcome.UNMEASURED: "var(--open)",
    ChoiceOutcome.UNBUILT: "var(--open)",
}


@dataclass(frozen=True, slots=True)
class _Box:
    """What a name or a point covers, in pixels from the upper left."""

    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class CandidatePoint:
    """A candidate in a plot of quality against cost."""

    name: str
    cost: float
    quality: float
    outcome: ChoiceOutcome
    on_front: bool
    """Whether no other candidate is better in both."""


def draw_candidates(
    points: Sequence[CandidatePoint],
    *,
    cost: str,
    metric: str,
    style: NumberStyle,
    limit: float | None,
) -> str:
    """Return candidates as SVG, quality against cost, the front of the best joined by a line.

    Args:
        points: At least one.
        cost: Label of the horizontal axis.
        metric: Label of the vertical axis.
        style: Of the metric.
        limit: The worst value that the accuracy budget allows; None without a budget.
    """
    values = [point.quality for point in points] + ([] if limit is None else [limit])
    up = fit_axis(ValueRange(max(values), min(values)), values, style=style)
    y = up.encode("quality", metric)
    y["scale"]["padding"] = _PADDING
    x = {
        "field": "cost",
        "type": "quantitative",
        "title": cost,
        "axis": {"grid": False, "tickCount": 5, "format": NumberStyle.PLAIN},
        "scale": {"domain": [0, _ROOM_FOR_NAMES * max(point.cost for point in points)]},
    }
    present = {point.outcome for point in points}
    colors = {name_outcome(kind): _COLORS[kind] for kind in ChoiceOutcome if kind in present}
    scale = {"domain": list(colors), "range": list(colors.values())}
    color = {"field": "outcome", "scale": scale}
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
    heights = _place_names(points, up)
    for point, height in zip(points, heights, strict=True):
        only = [{"filter": {"field": "name", "equal": point.name}}]
        if abs(height) > _APART:
            layers.insert(1, {"transform": only, **_draw_leader(height, x, y)})
        layers.append(
            {
                "transform": only,
                "mark": {**_NAME_MARK, "dy": height},
                "encoding": {"x": x, "y": y, "text": {"field": "name"}},
            }
        )
    if limit is not None:
        layers.insert(0, _limit_line(limit, y))
    data = {"values": [_as_row(point) for point in points]}
    return render({"data": data, "layer": layers}, NARROW)


def _as_row(point: CandidatePoint) -> dict[str, str | float | bool]:
    return {
        "name": point.name,
        "cost": point.cost,
        "quality": point.quality,
        "outcome": name_outcome(point.outcome),
        "front": point.on_front,
    }


def _place_names(points: Sequence[CandidatePoint], axis: StripAxis) -> list[int]:
    """Return for each point how far below it its name stands, clear of names and points."""
    widest = _ROOM_FOR_NAMES * max(point.cost for point in points)
    span = axis.high - axis.low
    places = [
        (
            point.cost / widest * _PLOT_WIDTH,
            _PADDING + (axis.high - point.quality) / span * (_PLOT_HEIGHT - 2 * _PADDING),
        )
        for point in points
    ]
    taken = [_Box(x - _RADIUS, x + _RADIUS, y - _RADIUS, y + _RADIUS) for x, y in places]
    heights = [0] * len(points)
    # From the right: a line to a name further down then passes left of the names above it.
    for index in sorted(range(len(points)), key=lambda index: -places[index][0]):
        x, y = places[index]
        boxes = {
            height: _box_of_name(points[index].name, x, y + height) for height in _NAME_HEIGHTS
        }
        free = [
            height
            for height, box in boxes.items()
            if box.top >= -_OVERHANG
            and box.bottom <= _PLOT_HEIGHT
            and not any(box.overlaps(other) for other in taken)
        ]
        heights[index] = free[0] if free else _NAME_HEIGHTS[0]
        taken.append(boxes[heights[index]])
        if abs(heights[index]) > _APART:
            taken.append(_Box(x, x + _ASIDE, *sorted((y, y + heights[index]))))
    return heights


def _draw_leader(height: int, x: Encoding, y: Encoding) -> Layer:
    """Return a line from a point to its name."""
    offsets = {"x2Offset": _ASIDE - 2, "y2Offset": height}
    return {
        "mark": {"type": "rule", "color": "var(--line-strong)", **offsets},
        "encoding": {"x": x, "x2": {"field": "cost"}, "y": y, "y2": {"field": "quality"}},
    }


def _box_of_name(name: str, x: float, y: float) -> _Box:
    left = x + _ASIDE
    right = left + _LETTER_WIDTH * len(name)
    return _Box(left, right, y - _LINE_HEIGHT / 2, y + _LINE_HEIGHT / 2)


def _limit_line(limit: float, y: Encoding) -> Layer:
    return {
        "data": {"values": [{"limit": limit}]},
        "mark": {"type": "rule", "color": "var(--bad)", "strokeDash": [6, 4], "opacity": 0.8},
        "encoding": {"y": {**y, "field": "limit"}},
    }
