"""The chart of one layer's sensitivity: what cutting it alone costs, and how much of it was cut.

Called by `html` with the plots of `sensitivity_view`, small and side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab_trainer.reporting.charts.canvas import PERCENT_LABEL, Layer, render

__all__ = ["LayerPlot", "draw_layer"]

# Six stand in a row; text must not shrink.
_WIDTH, _HEIGHT = 172, 108


@dataclass(frozen=True, slots=True)
class LayerPlot:
    """A layer's measured curve, in the unit of the axis."""

    name: str
    """Short enough for the plot."""
    full_name: str
    points: tuple[tuple[float, float], ...]
    """(share cut, drop), ascending, the uncut layer first."""
    cut: float
    """Share that was cut in the end, 0…1."""
    cost: float
    """Drop that the curve gives for it."""
    note: str
    """The two in words."""


def draw_layer(plot: LayerPlot, *, domain: Sequence[float]) -> str:
    """Return a layer's curve as SVG, with a mark where the layer was cut.

    Args:
        plot: The layer.
        domain: Ends of the axis of drops, the same for layers that are compared.
    """
    rows = [{"share": share, "drop": drop} for share, drop in plot.points]
    x = {
        "field": "share",
        "type": "quantitative",
        "title": None,
        "axis": {
            "format": "%",
            "labelExpr": PERCENT_LABEL,
            "values": [0, 0.5, 1],
            "grid": False,
        },
        "scale": {"domain": [0, 1], "nice": False, "padding": 4},
    }
    y = {
        "field": "drop",
        "type": "quantitative",
        "title": None,
        "axis": {"tickCount": 3, "format": ".3~r"},
        "scale": {"domain": list(domain), "nice": False, "padding": 4},
    }
    mark = {"data": {"values": [{"share": plot.cut, "drop": plot.cost}]}}
    layers: list[Layer] = [
        {
            **mark,
            "mark": {"type": "rule", "color": "var(--good)", "strokeDash": [3, 3]},
            "encoding": {"x": x},
        },
        {
            "mark": {
                "type": "line",
                "strokeWidth": 2,
                "color": "var(--accent)",
                "point": {"size": 22, "filled": True, "color": "var(--accent)"},
            },
            "encoding": {"x": x, "y": y},
        },
        {
            **mark,
            "mark": {
                "type": "point",
                "filled": True,
                "size": 80,
                "opacity": 1,
                "color": "var(--good)",
            },
            "encoding": {"x": x, "y": y},
        },
    ]
    return render({"data": {"values": rows}, "layer": layers}, _WIDTH, _HEIGHT)
