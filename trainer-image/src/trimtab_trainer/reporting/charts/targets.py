"""The chart of a target: candidates by quality and cost, what ships, and the accuracy budget.

Called by `html` with the points of `target_view`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trimtab_trainer.reporting.charts.canvas import (
    NARROW,
    Layer,
    NumberStyle,
    measure,
    render,
)

__all__ = ["CandidatePoint", "CandidateRole", "draw_candidates"]

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


class CandidateRole(StrEnum):
    """What a candidate is for a target; the word stands in the legend."""

    SHIPS = "ships"
    CANDIDATE = "candidate"
    LIMITED = "over the limit"
    REJECTED = "rejected"


_COLORS = {
    CandidateRole.SHIPS: "var(--good)",
    CandidateRole.CANDIDATE: "var(--accent)",
    CandidateRole.LIMITED: "var(--warn)",
    CandidateRole.REJECTED: "var(--faint)",
}


@dataclass(frozen=True, slots=True)
class CandidatePoint:
    """A candidate in a plot of quality against cost."""

    name: str
    cost: float
    quality: float
    role: CandidateRole
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
    rows = [
        {"name": p.name, "cost": p.cost, "quality": p.quality, "role": p.role, "front": p.on_front}
        for p in points
    ]
    y = {**measure("quality", metric, style=style), "scale": {"zero": False, "padding": 14}}
    x = {
        "field": "cost",
        "type": "quantitative",
        "title": cost,
        "axis": {"grid": False, "tickCount": 5},
        "scale": {"domain": [0, _ROOM_FOR_NAMES * max(point.cost for point in points)]},
    }
    roles = [role for role in CandidateRole if role in {point.role for point in points}]
    colors = [_COLORS[role] for role in roles]
    color = {"field": "role", "scale": {"domain": roles, "range": colors}}
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
    return render({"data": {"values": rows}, "layer": layers}, NARROW)


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
