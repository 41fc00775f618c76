"""report.html is one page that stands alone, for complete, failed and unfinished runs."""

import re
from html.parser import HTMLParser

import pytest
from typing_extensions import override

from report_builder import (
    make_failed_report,
    make_manifest,
    make_missed_report,
    make_partial_report,
    make_parts,
    make_report,
)
from search_builder import make_busy_report
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.reporting.html import render_html

VOID = {"meta", "path", "line", "br"}
REPORTS = {
    "met": make_report(),
    "missed": make_missed_report(),
    "failed": make_failed_report(),
    "partial": make_partial_report(),
    "busy": make_busy_report(),
}


class Page(HTMLParser):
    """The text of a page, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.headings: list[str] = []
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.text.append(" ".join(data.split()))
            if self.open[-1] == "h2":
                self.headings.append(self.text[-1])

    def row(self, name: str) -> list[str]:
        """Return the texts that follow the first one that equals a name."""
        start = self.text.index(name)
        return self.text[start : start + 20]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render_html(report) for name, report in REPORTS.items()}


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_a_well_formed_page(name: str, pages: dict[str, str]) -> None:
    page = Page(pages[name])

    assert page.open == []
    assert "Stages" in page.headings


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_fetched(name: str, pages: dict[str, str]) -> None:
    html = pages[name]

    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) <= namespaces
    assert not re.search(r"<(script|link|img|iframe)|@import|url\((?!#)", html)


def test_the_head_says_what_ships_and_what_is_left_of_the_budget(pages: dict[str, str]) -> None:
    page = Page(pages["met"])

    assert page.text[:3] == [
        "digits: goals met",
        "digits",
        "Goals met",
    ]
    assert page.text[3].startswith("pruned-int8 ships for edge: 7.05× smaller, 1.93× faster")
    assert "0.26 points left" in page.text[4]


def test_the_table_holds_every_figure_with_the_baseline_first(pages: dict[str, str]) -> None:
    page = Page(pages["met"])

    figures = "97.78|±0|97.04|4.82 M|94.5 k|0.365|0.339|0.141|0.152|1×|7,010|61.2"
    assert page.row("dense")[1:14] == ["the baseline", *figures.split("|")]
    order = [page.text.index(name) for name in ("dense", "pruned", "dense-int8", "pruned-int8")]
    assert order == sorted(order)


def test_what_ships_is_marked_and_what_is_rejected_says_why(pages: dict[str, str]) -> None:
    html = pages["met"]

    assert re.search(r'class="ships">\s*<td>pruned-int8<span', html)
    assert re.search(r'class="rejected">\s*<td>dense-int8<small', html)
    assert "rejected: speedup@edge min 1.6 is missed: 1.563" in html


def test_a_candidate_past_a_limit_is_not_called_rejected(pages: dict[str, str]) -> None:
    text = Page(pages["missed"]).text

    assert "over the limit: speedup@edge min 4 is missed" in text
    assert "ships all the same, as the nearest: speedup@edge min 4 is missed" in text
    assert "rejected: speedup@edge min 1.6 is missed: 1.563" in text


def test_limits_are_listed_with_margins(pages: dict[str, str]) -> None:
    page = Page(pages["missed"])

    assert page.row("accuracy maxDrop 0.01")[1:4] == ["0.74 points", "0.26 points", "kept"]
    assert page.row("speedup@edge min 4")[1:4] == ["1.93×", "\N{MINUS SIGN}2.07×", "missed"]


def test_a_complete_report_has_every_section(pages: dict[str, str]) -> None:
    page = Page(pages["met"])

    assert page.headings == [
        "Target edge",
        "Search",
        "Final training",
        "Pruning",
        "Stages",
        "How to read and repeat it",
    ]
    assert page.row("Search")[1] == "Bayesian with TPE, 2 at once"
    assert page.row("train.batchSize")[1] == "32"
    assert page.row("samples train")[1] == "1257"
    assert page.row("packages onnxruntime")[1] == "1.32.0"


def test_pruning_tells_which_step_was_undone() -> None:
    parts = make_parts()
    parts.prune_steps[-1] = parts.prune_steps[-1].model_copy(update={"kept": False})

    html = render_html(parts.build())

    assert html.count('mark">undone</span>') == 1


def test_a_failed_report_leaves_out_what_it_does_not_have(pages: dict[str, str]) -> None:
    page = Page(pages["failed"])

    assert page.text[2] == "Failed"
    assert page.text[3].startswith("UserError: the first 3 trials failed alike: metric accuracy")
    assert page.text[3].endswith("the task gave <loss> and f1")
    assert "Search" in page.headings
    assert not {"Target edge", "Pruning", "Final training"} & set(page.headings)


def test_text_of_users_cannot_become_markup() -> None:
    parts = make_parts()
    parts.manifest = make_manifest(objectives=[{"metric": "accuracy", "direction": "Maximize"}])
    parts.warnings = ("<script>alert(1)</script>",)
    evil = "<img src=x onerror=alert(1)>"
    parts.candidates[1] = parts.candidates[1].model_copy(update={"id": evil, "rejected": evil})

    html = render_html(parts.build())

    assert "<script" not in html
    assert "<img" not in html
    Page(html)


def test_a_task_with_its_own_metric_is_not_read_as_percent() -> None:
    parts = make_parts()
    parts.manifest = make_manifest(
        task={"entrypoint": "waves:FrequencyTask"},
        objectives=[{"metric": "error", "direction": "Minimize"}],
        constraints=[{"metric": "error", "maxDrop": 0.05}],
    )
    parts.trials = [
        trial.model_copy(update={"values": {"error": 1.5 + trial.number / 100}})
        for trial in parts.trials
        if trial.state is TrialState.SUCCEEDED
    ]
    parts.candidates = [
        entry.model_copy(
            update={"metrics": {**entry.metrics, "error": 1.5 + index / 100}, "test_metrics": {}}
        )
        for index, entry in enumerate(parts.candidates)
    ]

    page = Page(render_html(parts.build()))

    assert page.row("dense")[2:5] == ["1.5", "±0", "–"]
    assert page.row("trial 0: error 1.5")
    assert page.row("error maxDrop 0.05")[1:3] == ["0.03", "0.02"]


def test_a_busy_search_shows_all_that_happened(pages: dict[str, str]) -> None:
    page = Page(pages["busy"])

    for heading in (
        "Importance for accuracy",
        "Importance for params",
        "Objectives against each other",
        "accuracy by parameter",
        "Parameters and objectives together",
        "Learning curves",
        "Workers",
        "Numerics",
    ):
        assert heading in page.text
    assert "Trials: 55 of 66, the best first; all are in report.json" in page.text
    assert page.row("Importance for accuracy")[1:5] == [
        "train.learningRate",
        "61%",
        "model.args.width",
        "22%",
    ]
    assert "Diverged: loss became nan at step 41" in page.text


def test_parameters_of_users_cannot_become_markup() -> None:
    evil = "</svg><script>alert(1)</script>"
    parts = make_parts()
    parts.manifest["spec"]["stages"]["search"]["parameters"] = [
        {"name": "model.args.kind", "searchSpace": {"categorical": {"choices": [evil, "b"]}}}
    ]
    parts.trials = [
        trial.model_copy(update={"parameters": {"model.args.kind": evil}}) for trial in parts.trials
    ]

    html = render_html(parts.build())

    assert "<script" not in html
    assert Page(html).open == []
