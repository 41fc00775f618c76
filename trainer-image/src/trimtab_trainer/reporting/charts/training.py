"""The charts of the final training: values per epoch, and what loss scaling met.

Called by `html`; the points of the loss scale come from `numerics_view`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_trainer.reporting.charts.canvas import (
    NARROW,
    WIDE,
    Encoding,
    Layer,
    NumberStyle,
    measure,
    render,
    whole_numbers,
)

__all__ = ["ScalePoint", "draw_epochs", "draw_loss_scale"]

_LOW = 220
_SCALE, _SKIPPED = "at the end of an epoch", "steps of the epoch skipped"


@dataclass(frozen=True, slots=True)
class ScalePoint:
    """The loss scale at the end of an epoch."""

    epoch: int
    scale: float | None
    """None where the loss was not scaled."""
    overflows: int
    """Steps of the epoch that were skipped."""
    fallback: str
    """Such as `fp16 → bf16` where the epoch was computed again; empty elsewhere."""


def draw_epochs(
    curves: Mapping[str, Sequence[tuple[int, float]]], *, label: str, style: NumberStyle
) -> str:
    """Return values per epoch as SVG, one line per name.

    Args:
        curves: Name → (epoch, value), at least one pair in all.
        label: Label of the vertical axis.
        style: Of the values.
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
        "x": _epochs([row["epoch"] for row in rows]),
        "y": {**measure("value", label, style=style), "scale": {"zero": False}},
        "color": color,
    }
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 28, "filled": True}}
    return render({"data": {"values": rows}, "mark": mark, "encoding": encoding}, NARROW)


def draw_loss_scale(points: Sequence[ScalePoint]) -> str:
    """Return the loss scale over the epochs as SVG, with skipped steps and fallbacks.

    Args:
        points: By epoch; at least one has a scale.
    """
    rows = [
        {
            "epoch": point.epoch,
            "scale": point.scale,
            "overflows": point.overflows,
            "fallback": point.fallback,
        }
        for point in points
    ]
    x = _epochs([point.epoch for point in points])
    y = {
        "field": "scale",
        "type": "quantitative",
        "title": "loss scale",
        "scale": {"type": "log", "base": 2, "nice": True},
        "axis": {"format": ",.6~r", "tickCount": 5},
    }
    skipped = any(point.overflows for point in points)
    names = [_SCALE, _SKIPPED] if skipped else [_SCALE]
    scale = {"domain": names, "range": ["var(--accent)", "var(--warn)"][: len(names)]}
    overflows = [{"filter": "datum.overflows > 0 && isValid(datum.scale)"}]
    layers: list[Layer] = [
        *_draw_fallbacks(x, middle=(points[0].epoch + points[-1].epoch) / 2),
        {
            "transform": [{"filter": "isValid(datum.scale)"}],
            "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 28, "filled": True}},
            "encoding": {"x": x, "y": y, "color": {"datum": _SCALE, "scale": scale}},
        },
    ]
    if skipped:
        layers += [
            {
                "transform": overflows,
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": {"datum": _SKIPPED, "scale": scale}},
            },
            {
                "transform": overflows,
                "mark": {"type": "text", "dy": -12, "color": "var(--muted)", "fontSize": 11},
                "encoding": {"x": x, "y": y, "text": {"field": "overflows"}},
            },
        ]
    return render({"data": {"values": rows}, "layer": layers}, WIDE, _LOW)


def _draw_fallbacks(x: Encoding, *, middle: float) -> list[Layer]:
    """Return lines with words beside them, on the side where there is room."""
    fallbacks = [{"filter": "datum.fallback !== ''"}]
    words = {
        "type": "text",
        "align": {"expr": f"datum.epoch > {middle} ? 'right' : 'left'"},
        "dx": {"expr": f"datum.epoch > {middle} ? -5 : 5"},
        "dy": 6,
        "color": "var(--bad)",
    }
    return [
        {
            "transform": fallbacks,
            "mark": {"type": "rule", "color": "var(--bad)", "strokeDash": [6, 4]},
            "encoding": {"x": x},
        },
        {
            "transform": fallbacks,
            "mark": words,
            "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "fallback"}},
        },
    ]


def _epochs(epochs: Sequence[int]) -> Encoding:
    return {
        "field": "epoch",
        "type": "quantitative",
        "axis": whole_numbers(epochs),
        "scale": {"domain": [min(epochs), max(epochs)], "nice": False, "padding": 8},
    }
