"""Dashboards: readable, without overlap, and asking only for series and labels that are exported."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from cluster.prometheus import run_promtool
from dashboards import (
    BOARDS,
    Panel,
    fill,
    list_alerts,
    list_boards,
    list_panels,
    list_selectors,
    list_variables,
    walk,
)
from trimtab_codegen.dashboards import queries
from trimtab_operator.telemetry import catalogue
from trimtab_operator.telemetry.catalogue import CATALOGUE, SeriesType

VALUES = {"job_namespace": "vision", "job_name": "digits", "datasource": "prometheus"}
LINES = 24
SCRAPE = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
"""What Prometheus makes itself of each target."""
SCRAPE_LABELS = {"job", "instance"}
KNOWN = {
    f"{series.name}{part}": {*series.labels, *(["le"] if part == "_bucket" else [])}
    for series in CATALOGUE
    for part in (("_bucket", "_count", "_sum") if series.type is SeriesType.HISTOGRAM else ("",))
} | {name: set() for name in SCRAPE}
UNITS = {"short", "none", "s", "percentunit", "ops"}

panels = pytest.mark.parametrize(
    "panel", list_panels(), ids=lambda panel: f"{panel.board}: {panel.title}"
)


def list_queries() -> dict[str, list[str]]:
    """Return all queries of dashboards, variables and alerts, by where they are."""
    found = {
        f"{panel.board}: {panel.title}": [fill(one.expression, **VALUES) for one in panel.targets]
        for panel in list_panels()
    }
    for board in list_boards():
        for name, query in list_variables(board).items():
            inner = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
            assert inner is not None, query
            found[f"{board}: {name}"] = [f"count by ({inner[2]}) ({fill(inner[1], **VALUES)})"]
    return found | {alert["alert"]: [alert["expr"]] for alert in list_alerts()}


def iter_labels(expression: str) -> Iterator[tuple[set[str], set[str]]]:
    """Yield labels that are grouped or joined by, with the labels that there are below."""
    found: list[tuple[set[str], set[str]]] = []

    def note(node: Any) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.append((set(node.modifier.labels), labels_below(node)))
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None:
            matching = node.modifier.matching
            if matching is not None:
                found.extend(
                    (set(matching.labels), labels_below(side)) for side in (node.lhs, node.rhs)
                )

    walk(promql_parser.parse(expression), note)
    yield from found


def labels_below(node: Any) -> set[str]:
    names = {name for name, _ in list_selectors(node.prettify())}
    return SCRAPE_LABELS.union(*(KNOWN[name] for name in names))


@pytest.mark.parametrize(("where", "expressions"), list_queries().items())
def test_a_query_asks_for_series_and_labels_that_are_exported(
    where: str, expressions: list[str]
) -> None:
    for expression in expressions:
        selectors = list_selectors(expression)
        assert selectors
        for name, labels in selectors:
            assert name in KNOWN
            assert labels <= KNOWN[name], name
        for labels, below in iter_labels(expression):
            assert labels <= below, expression


def test_each_series_of_the_catalogue_is_in_a_dashboard_or_an_alert() -> None:
    used = {
        name
        for expressions in list_queries().values()
        for expression in expressions
        for name, _ in list_selectors(expression)
    }
    unused = {
        series.name
        for series in CATALOGUE
        if not any(name.startswith(series.name) for name in used)
    }
    assert not unused


@panels
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: Panel) -> None:
    assert panel.title[0].isupper()
    assert len(panel.title) <= 30
    assert panel.raw["description"].endswith(".")
    assert panel.raw["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel.raw["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@panels
def test_a_legend_names_labels_that_its_query_keeps(panel: Panel) -> None:
    for target in panel.targets:
        labels = set(re.findall(r"{{(\w+)}}", target.legend))
        kept = re.match(r"(?:max|sum|min) by \(([^)]*)\)", target.expression)
        assert labels <= set(kept[1].split(", ") if kept else ()), target
        if panel.raw["type"] == "timeseries":
            assert target.legend not in {"", "__auto"}


def find_panel(board: str, title: str) -> Panel:
    (found,) = [one for one in list_panels() if (one.board, one.title) == (board, title)]
    return found


def check_values(
    folder: Path, series: dict[str, str], expected: list[tuple[str, str, float]]
) -> None:
    """Have promtool ask queries at some times, where a minute lies between the values of series."""
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": told} for name, told in series.items()],
        "promql_expr_test": [
            {"expr": asked, "eval_time": time, "exp_samples": [{"labels": "{}", "value": value}]}
            for asked, time, value in expected
        ],
    }
    path = folder / "case.yaml"
    path.write_text(json.dumps({"tests": [case]}), encoding="utf-8")
    run_promtool("test", "rules", path)


def test_it_is_told_that_no_operator_is_read_rather_than_nothing(tmp_path: Path) -> None:
    (target,) = find_panel("operator", "Operators").targets
    scrape = '{job="trimtab-operator",instance="a"}'
    version = 'trimtab_build_info{job="trimtab-operator",instance="a",version="0.1.0"}'
    series = {f"up{scrape}": "1x9 0x20", version: "1x9 stale"}
    check_values(tmp_path, series, [(target.expression, "5m", 1), (target.expression, "20m", 0)])


@pytest.mark.parametrize("state", ["Complete", "Failed", "Suspended", "Starting"])
def test_a_stage_is_shown_while_it_runs_and_no_longer(tmp_path: Path, state: str) -> None:
    """The job keeps the stage that ran last; it is scraped by a new operator from minute 15 on."""
    stages = {one.legend: one.expression for one in find_panel("job", "Stages").targets}
    job = 'job_namespace="vision",job_name="digits"'
    series = {
        f'trimtab_job_state{{{job},state="Running",instance="a"}}': "1x9 0x4 stale",
        f'trimtab_job_state{{{job},state="{state}",instance="a"}}': "0x9 1x4 stale",
        f'trimtab_job_state{{{job},state="Running",instance="b"}}': "_x15 0x9",
        f'trimtab_job_state{{{job},state="{state}",instance="b"}}': "_x15 1x9",
        f'trimtab_job_stage{{{job},stage="train",instance="a"}}': "1x4 0x9 stale",
        f'trimtab_job_stage{{{job},stage="prune",instance="a"}}': "0x4 1x9 stale",
        f'trimtab_job_stage{{{job},stage="prune",instance="b"}}': "_x15 1x9",
    }
    train, prune = (fill(stages[stage], **VALUES) for stage in ("train", "prune"))
    expected = [
        (train, "2m", 1),
        (prune, "2m", 0),
        (train, "7m", 0),
        (prune, "7m", 1),
        (prune, "12m", 0),
        (prune, "20m", 0),
    ]
    check_values(tmp_path, series, expected)


@pytest.mark.parametrize(
    ("alert", "name"),
    [("ReportStale", catalogue.JOB_REPORT_AGE.name), ("WatchStale", catalogue.WATCH_AGE.name)],
)
def test_a_figure_is_red_from_where_its_alert_is_raised(alert: str, name: str) -> None:
    (rule,) = [one for one in list_alerts() if one["alert"] == f"Trimtab{alert}"]
    limits = re.findall(r"> (\d+)\b", rule["expr"])
    reds = [red for panel in list_panels() for red in list_reds(panel, name)]
    assert len(reds) == 2
    assert {str(red) for red in reds} == set(limits)


def list_reds(panel: Panel, name: str) -> Iterator[int]:
    """Yield from where on a series is red in a panel: by itself, or as a column of a table."""
    if not any(name in target.expression for target in panel.targets):
        return
    styles = [
        one["value"]
        for override in panel.raw["fieldConfig"].get("overrides", ())
        for one in override["properties"]
        if one["id"] == "thresholds"
    ]
    for style in styles or [panel.raw["fieldConfig"]["defaults"]["thresholds"]]:
        yield from (step["value"] for step in style["steps"] if step["color"] == "red")


def test_time_of_gpus_of_which_none_was_saved_has_no_reason(tmp_path: Path) -> None:
    """It stands beside reasons such as EarlyStopping, and is not one of them."""
    target = find_panel("job", "GPU time").targets[1]
    assert target.legend == "saved: {{reason}}"
    trials = 'trimtab_trials{job_namespace="vision",job_name="digits",state="Succeeded"}'
    asked = fill(target.expression, **VALUES)
    check_values(tmp_path, {trials: "1x9"}, [(f"sum({asked} == 0)", "5m", 0)])
    assert '"nothing yet"' in asked


@panels
def test_queries_of_a_panel_have_letters_of_their_own(panel: Panel) -> None:
    letters = [one["refId"] for one in panel.raw["targets"]]
    assert len(set(letters)) == len(letters) >= 1


@pytest.mark.parametrize("board", list_boards())
def test_no_panel_covers_another_or_stands_over_the_edge(board: str) -> None:
    placed = [panel for panel in list_panels(rows=True) if panel.board == board]
    covered = {
        panel.raw["id"]: {
            (column, line)
            for column in range(panel.grid[0], panel.grid[0] + panel.grid[2])
            for line in range(panel.grid[1], panel.grid[1] + panel.grid[3])
        }
        for panel in placed
    }
    assert len(covered) == len(placed)
    for (_, one), (_, other) in combinations(covered.items(), 2):
        assert not one & other
    cells = set().union(*covered.values())
    assert {column for column, _ in cells} == set(range(LINES))
    # No holes either: each line is full.
    assert len(cells) == LINES * len({line for _, line in cells})


def test_each_dashboard_is_found_by_its_own_name_and_says_that_it_is_generated() -> None:
    boards = list_boards().values()
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 4
    for path, board in zip(BOARDS, boards, strict=True):
        assert board["tags"] == ["trimtab"]
        assert "GENERATED from api/ by trimtab_codegen" in board["description"], path
        ids = [panel["id"] for panel in board["panels"]]
        assert ids == list(range(1, len(ids) + 1))
        # A ConfigMap holds a megabyte.
        assert path.stat().st_size < 500_000


@pytest.mark.parametrize("board", list_boards())
def test_a_dashboard_uses_the_variables_that_it_has(board: str) -> None:
    variables = [one["name"] for one in list_boards()[board]["templating"]["list"]]
    assert variables[0] == "datasource"
    text = " ".join(
        target.expression
        for panel in list_panels()
        if panel.board == board
        for target in panel.targets
    )
    assert set(re.findall(r"\$(job_\w+)", text)) == set(variables[1:])


def test_a_label_that_a_series_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trimtab_queue_depth has the labels \(\), not \['state'"):
        queries.maximum(catalogue.QUEUE_DEPTH, by=["state"])
