"""The dashboards and alerts of the chart as tests read them: panels, queries, metrics and labels.

A query has Grafana's variables in it; `fill` puts values in their place, as Grafana does.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser
from ruamel.yaml import YAML

from cluster.prometheus import PrometheusServer, Sequel
from source_tree import ROOT

__all__ = [
    "BOARDS",
    "RULES",
    "Panel",
    "Seen",
    "Span",
    "Target",
    "fill",
    "has_data",
    "list_alerts",
    "list_before_or",
    "list_boards",
    "list_empty_panels",
    "list_panels",
    "list_selectors",
    "list_variables",
    "walk",
]

_FILES = ROOT / "charts" / "trimtab" / "files"
BOARDS = sorted((_FILES / "dashboards").glob("*.json"))
"""Files of dashboards."""
RULES = sorted((_FILES / "rules").glob("*.yaml"))
"""Files of alerts."""

_VARIABLE = re.compile(r"\$\{?([A-Za-z_]+)\}?")
_BUILT_IN = {"__rate_interval": "1m"}


@dataclass(frozen=True, slots=True)
class Target:
    """A query of a panel."""

    expression: str
    legend: str
    is_instant: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel that is no row, with the JSON that Grafana reads."""

    board: str
    raw: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.raw["title"])

    @property
    def targets(self) -> list[Target]:
        """Its queries."""
        return [
            Target(one["expr"], one.get("legendFormat", ""), bool(one.get("instant")))
            for one in self.raw["targets"]
        ]

    @property
    def grid(self) -> tuple[int, int, int, int]:
        """Column, line, width and height."""
        place = self.raw["gridPos"]
        return place["x"], place["y"], place["w"], place["h"]


@dataclass(frozen=True, slots=True)
class Span:
    """A time in seconds since 1970 from which results are wanted."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Seen:
    """When Prometheus saw something, and the job that a reader chooses."""

    span: Span
    namespace: str
    job: str

    def fill(self, board: str, expression: str) -> str:
        """Return a query for the one job on its dashboard, and for all on the others."""
        if board == "job":
            return fill(expression, job_namespace=self.namespace, job_name=self.job)
        return fill(expression, job_namespace=".*", job_name=".*")


def list_boards() -> dict[str, dict[str, Any]]:
    """Return each dashboard by the name of its file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in BOARDS}


def list_panels(*, rows: bool = False) -> list[Panel]:
    """Return the panels of all dashboards."""
    return [
        Panel(board, raw)
        for board, content in list_boards().items()
        for raw in content["panels"]
        if rows or raw["type"] != "row"
    ]


def list_variables(board: str) -> dict[str, str]:
    """Return the queries of a dashboard's variables by their names."""
    variables = list_boards()[board]["templating"]["list"]
    return {one["name"]: one["query"] for one in variables if one["type"] == "query"}


def list_alerts() -> list[dict[str, Any]]:
    """Return the alerts as Prometheus reads them."""
    files: list[Any] = [YAML(typ="safe").load(path) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def fill(expression: str, **values: str) -> str:
    """Return a query with values in the place of variables.

    Raises:
        KeyError: A variable has no value.
    """
    known = {**_BUILT_IN, **values}
    return _VARIABLE.sub(lambda found: known[found[1]], expression)


def has_data(server: PrometheusServer, expression: str, span: Span) -> bool:
    """Return whether a query has a value that is a number at any moment of a time."""
    return any(_has_number(one) for one in server.ask_range(expression, span.start, span.end))


def list_empty_panels(server: PrometheusServer, seen: Seen) -> list[str]:
    """Return the panels of which no query has data, at any moment of a time."""
    return [
        f"{panel.board}: {panel.title}"
        for panel in list_panels()
        # Each is asked, so that none of them is refused unseen.
        if True
        not in [
            has_data(server, seen.fill(panel.board, target.expression), seen.span)
            for target in panel.targets
        ]
    ]


def list_selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Return the metrics of a query with the labels by which each is selected."""
    found: list[tuple[str, set[str]]] = []

    def note(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {one.name for one in node.matchers.matchers}))

    walk(promql_parser.parse(expression), note)
    return found


def list_before_or(expression: str) -> list[str]:
    """Return what stands before each `or` of a query."""
    found: list[str] = []

    def note(node: Any) -> None:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "or":
            found.append(node.lhs.prettify())

    walk(promql_parser.parse(expression), note)
    return found


def walk(node: Any, visit: Callable[[Any], None]) -> None:
    """Visit each part of a parsed query."""
    promql_parser.walk(node, visit)


def _has_number(series: Sequel) -> bool:
    return any(not math.isnan(value) for _, value in series.points)
