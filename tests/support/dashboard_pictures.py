"""Pictures of the dashboards for the documents, drawn from what a real Prometheus answers.

They show what Grafana would in its places: the panels of the JSON files, with the results of their
queries. Drawn by the test of the main job on a node, which leaves them in its folder.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

from cluster.prometheus import PrometheusServer, Sequel
from dashboard_charts import PALETTE, Chart, Named, colour_of, draw_chart, show_value
from dashboards import Panel, Seen, Span, list_boards, list_panels

__all__ = ["draw_pictures"]

_COLUMN, _LINE, _GAP = 54, 30, 6
_COLUMNS = 24
_HEAD = 56
_TITLE = 26
_FONT = "Liberation Sans, Arial, sans-serif"
_GREY = "#6a7077"
_SPOTS = 240
"""Moments at which a panel over time is asked, about one for each two pixels of the smallest."""


@dataclass(frozen=True, slots=True)
class _Box:
    """Where something is drawn, in pixels."""

    left: float
    top: float
    width: float
    height: float


@dataclass(slots=True)
class _Canvas:
    """The elements of a picture."""

    parts: list[str] = field(default_factory=list)

    def text(self, left: float, top: float, words: str, **style: object) -> None:
        """Write a line."""
        look = {"font_size": 12, "fill": PALETTE["text"], **style}
        shown = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in look.items())
        self.parts.append(f'<text x="{left:.1f}" y="{top:.1f}" {shown}>{escape(words)}</text>')

    def box(self, box: _Box, **style: object) -> None:
        """Draw a rectangle."""
        shown = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in style.items())
        self.parts.append(
            f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{max(0.0, box.width):.1f}"'
            f' height="{box.height:.1f}" {shown}/>'
        )

    def place(self, svg: str, left: float, top: float) -> None:
        """Put another picture somewhere."""
        self.parts.append(svg.replace("<svg ", f'<svg x="{left:.1f}" y="{top:.1f}" ', 1))


def draw_pictures(server: PrometheusServer, seen: Seen, folder: Path) -> list[Path]:
    """Draw all dashboards as they are at the end of a time, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for board in list_boards():
        path = folder / f"dashboard-{board}.png"
        png = vl_convert.svg_to_png(_draw_board(server, seen, board), scale=1.0)
        # Few colours are used, and a palette makes the file a third as large.
        Image.open(BytesIO(png)).convert("RGB").quantize(128).save(path, optimize=True)
        files.append(path)
    return files


def _draw_board(server: PrometheusServer, seen: Seen, board: str) -> str:
    canvas = _Canvas()
    panels = [panel for panel in list_panels(rows=True) if panel.board == board]
    canvas.text(14, 34, list_boards()[board]["title"], font_size=20, font_weight="bold")
    for panel in panels:
        column, line, width, height = panel.grid
        box = _Box(
            column * _COLUMN + _GAP / 2,
            _HEAD + line * _LINE + _GAP / 2,
            width * _COLUMN - _GAP,
            height * _LINE - _GAP,
        )
        if panel.raw["type"] == "row":
            canvas.text(box.left + 6, box.top + 17, panel.title, font_size=14, font_weight="bold")
        else:
            _draw_panel(canvas, panel, box, _ask(server, seen, panel), seen.span)
    lines = max(panel.grid[1] + panel.grid[3] for panel in panels)
    width, height = _COLUMNS * _COLUMN, _HEAD + lines * _LINE + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' font-family="{_FONT}"><rect width="100%" height="100%" fill="#f4f5f5"/>'
        f"{''.join(canvas.parts)}</svg>"
    )


def _ask(server: PrometheusServer, seen: Seen, panel: Panel) -> list[list[Named]]:
    """Return the named series of each query."""
    step = _step(seen.span)
    answers = []
    for target in panel.targets:
        expression = seen.fill(panel.board, target.expression)
        found = (
            server.ask(expression, seen.span.end)
            if target.is_instant
            else server.ask_range(expression, seen.span.start, seen.span.end, step=step)
        )
        answers.append([Named(_name(target.legend, one), one) for one in found])
    return answers


def _step(span: Span) -> float:
    return max(1.0, (span.end - span.start) / _SPOTS)


def _name(legend: str, series: Sequel) -> str:
    if legend in {"", "__auto"}:
        return ", ".join(series.labels.values())
    return re.sub(r"{{(\w+)}}", lambda found: series.labels.get(found[1], ""), legend)


def _draw_panel(
    canvas: _Canvas, panel: Panel, box: _Box, answers: Sequence[Sequence[Named]], span: Span
) -> None:
    canvas.box(box, rx=3, fill="white", stroke="#dcdfe3")
    canvas.text(box.left + 10, box.top + 18, panel.title, font_weight="bold")
    inside = _Box(box.left, box.top + _TITLE, box.width, box.height - _TITLE)
    lines = [one for answer in answers for one in answer]
    if not lines:
        _centre(canvas, inside, "No data", _GREY, 14)
        return
    kind = panel.raw["type"]
    if kind == "timeseries":
        size = {"width": int(inside.width), "height": int(inside.height)}
        chart = Chart(panel=panel, lines=lines, span=span, step=_step(span), **size)
        canvas.place(draw_chart(chart), inside.left, inside.top)
    elif kind == "stat":
        _draw_stat(canvas, panel, inside, lines)
    elif kind == "bargauge":
        _draw_bars(canvas, panel, inside, lines)
    elif kind == "table":
        _draw_table(canvas, panel, inside, answers)
    elif kind == "state-timeline":
        _draw_timeline(canvas, inside, lines, span)
    else:
        raise ValueError(f"{panel.title} is a {kind}, which is not drawn here")


def _centre(canvas: _Canvas, box: _Box, words: str, colour: str, size: int) -> None:
    middle = box.top + box.height / 2 + size / 3 - 4
    look = {"text_anchor": "middle", "font_size": size, "fill": colour}
    canvas.text(box.left + box.width / 2, middle, words, **look)


def _draw_stat(canvas: _Canvas, panel: Panel, box: _Box, lines: Sequence[Named]) -> None:
    if panel.raw["options"].get("textMode") == "name":
        words, colour = lines[0].name, colour_of(panel, lines[0].name, 0)
    else:
        value = lines[0].series.points[-1][1]
        defaults = panel.raw["fieldConfig"]["defaults"]
        words = show_value(value, defaults["unit"])
        colour = _pick(defaults["thresholds"]["steps"], value)
    _centre(canvas, box, words, colour, 30)


def _pick(steps: Sequence[Mapping[str, Any]], value: float) -> str:
    reached = [one["color"] for one in steps if one["value"] is None or value >= one["value"]]
    return PALETTE[reached[-1]]


def _draw_bars(canvas: _Canvas, panel: Panel, box: _Box, lines: Sequence[Named]) -> None:
    defaults = panel.raw["fieldConfig"]["defaults"]
    largest = max(one.series.points[-1][1] for one in lines) or 1.0
    height = min(30.0, (box.height - 10) / len(lines))
    label = 8.0 + 7 * max(len(one.name) for one in lines)
    for place, one in enumerate(lines):
        value = one.series.points[-1][1]
        top = box.top + 4 + place * height
        room = box.width - label - 90
        bar = _Box(box.left + 10 + label, top + 3, room * value / largest, height - 6)
        canvas.box(bar, rx=2, fill=_pick(defaults["thresholds"]["steps"], value))
        middle = top + height / 2 + 4
        canvas.text(box.left + 10, middle, one.name)
        canvas.text(bar.left + bar.width + 8, middle, show_value(value, defaults["unit"]))


def _draw_timeline(canvas: _Canvas, box: _Box, lines: Sequence[Named], span: Span) -> None:
    label, foot = 90.0, 22.0
    height = (box.height - foot) / len(lines)
    width = box.width - label - 20
    scale = width / (span.end - span.start)
    for place, one in enumerate(lines):
        top = box.top + place * height
        canvas.text(box.left + 10, top + height / 2 + 4, one.name)
        frame = _Box(box.left + label, top + 2, width, height - 4)
        canvas.box(frame, fill="#f4f5f5")
        for moment, value in one.series.points:
            if value == 1:
                left = frame.left + (moment - span.start) * scale
                wide = min(_step(span) * scale + 1, frame.left + width - left)
                canvas.box(_Box(left, frame.top, wide, frame.height), fill=PALETTE["blue"])
    bottom = box.top + box.height - 8
    minutes = int((span.end - span.start) // 60)
    for minute in range(minutes + 1):
        left = box.left + label + minute * 60 * scale
        canvas.text(left, bottom, f"{minute} min", font_size=10, fill=_GREY)


def _draw_table(
    canvas: _Canvas, panel: Panel, box: _Box, answers: Sequence[Sequence[Named]]
) -> None:
    shape = panel.raw["transformations"][1]["options"]
    order = sorted(shape["indexByName"], key=shape["indexByName"].get)
    columns = [name for name in order if not shape["excludeByName"].get(name)]
    rows = _merge(answers)
    width = (box.width - 20) / len(columns)
    height = 22.0
    room = int((box.height - 20) // height)
    room = room if len(rows) <= room else room - 1
    for place, name in enumerate(columns):
        left = box.left + 10 + place * width
        title = shape["renameByName"].get(name, name)
        canvas.text(left, box.top + 14, title, fill=_GREY, font_weight="bold")
        for line, row in enumerate(rows[:room]):
            words, colour = _show_cell(panel, title, row.get(name))
            canvas.text(left, box.top + 14 + (line + 1) * height, words, fill=colour)
    if len(rows) > room:
        last = box.top + 14 + (room + 1) * height
        canvas.text(box.left + 10, last, f"… {len(rows) - room} more rows", fill=_GREY)


def _merge(answers: Sequence[Sequence[Named]]) -> list[dict[str, Any]]:
    """Return the rows of all queries, joined where the labels that all of them have are equal."""
    labels = [set(one.series.labels) for answer in answers for one in answer]
    shared = sorted(set.intersection(*labels))
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, answer in enumerate(answers):
        key = f"Value #{chr(ord('A') + number)}" if len(answers) > 1 else "Value"
        for one in answer:
            place = tuple(one.series.labels[label] for label in shared)
            row = rows.setdefault(place, {})
            row.update({**one.series.labels, key: one.series.points[-1][1]})
    return [rows[place] for place in sorted(rows)]


def _show_cell(panel: Panel, title: str, value: object) -> tuple[str, str]:
    if not isinstance(value, float):
        return str(value or ""), PALETTE["text"]
    style = {
        one["id"]: one["value"]
        for override in panel.raw["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == title
        for one in override["properties"]
    }
    steps = style.get("thresholds", {}).get("steps", [{"value": None, "color": "text"}])
    return show_value(value, style["unit"]), _pick(steps, value)
