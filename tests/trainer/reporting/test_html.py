"""report.html is one page that stands alone, for complete, failed and unfinished runs."""

import re
from html.parser import HTMLParser

import pytest
from typing_extensions import override

from compression_builder import make_broad_parts, make_layers, make_weights_parts
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
    "broad": make_broad_parts().build(),
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


def test_a_goal_that_no_trial_reached_is_told_in_the_head() -> None:
    parts = make_parts()
    goal = {"metric": "accuracy", "direction": "Maximize", "goal": 0.999}
    parts.manifest = make_manifest(objectives=[goal])

    page = Page(render_html(parts.build()))

    (told,) = [text for text in page.text if text.startswith("Objective goal")]
    assert told.startswith("Objective goal 0.999 not reached (9")
    assert page.text.index(told) == 4


def test_a_plot_explains_only_the_lines_that_it_has(pages: dict[str, str]) -> None:
    assert "Dotted: no candidate is better in both." in pages["met"]
    parts = make_parts()
    metrics = parts.candidates[0].metrics
    parts.candidates = [entry for entry in parts.candidates if entry.id in {"dense", "pruned"}]
    worse = {**metrics, "accuracy": 0.5}
    parts.candidates[1] = parts.candidates[1].model_copy(update={"metrics": worse})

    alone = render_html(parts.build())

    assert "Dashed: the worst accuracy" in alone
    assert "Dotted:" not in alone


def test_the_table_holds_every_figure_with_the_baseline_first(pages: dict[str, str]) -> None:
    page = Page(pages["met"])

    figures = "97.78|±0|97.04|9.64 M|94.5 k|0.365|0.339|0.141|0.152|1×|7,010|61.2"
    assert page.row("dense")[1:14] == ["the baseline", *figures.split("|")]
    order = [page.text.index(name) for name in ("dense", "pruned", "dense-int8", "pruned-int8")]
    assert order == sorted(order)


def test_what_ships_is_marked_and_what_is_rejected_says_why(pages: dict[str, str]) -> None:
    html = pages["met"]

    assert re.search(r'class="ships">\s*<td>pruned-int8<span', html)
    assert re.search(r'class="rejected">\s*<td>dense-int8<small', html)
    row = Page(html).row("Choices")
    assert row[1:4] == [
        "pruned-int8",
        "ships",
        "fastest at p95 of 2 that keep every limit: 0.0794 ms, 92 % faster at p95 than the baseline",
    ]
    start = row.index("dense-int8")
    assert row[start + 1 : start + 3] == ["rejected", "speedup@edge min 1.6 is missed: 1.563"]


def test_a_candidate_past_a_limit_is_not_called_rejected(pages: dict[str, str]) -> None:
    row = Page(pages["missed"]).row("Choices")

    assert row[1:4] == [
        "pruned-int8",
        "ships",
        "nearest to the limits: speedup@edge min 4 is missed by 2.07 (1.929)",
    ]
    start = row.index("pruned")
    assert row[start + 1] == "over the limit"
    assert row[start + 2].startswith("speedup@edge min 4 is missed by")


def test_limits_are_listed_with_margins(pages: dict[str, str]) -> None:
    page = Page(pages["missed"])

    assert page.row("accuracy maxDrop 0.01")[1:4] == ["0.74 points", "0.26 points", "kept"]
    assert page.row("speedup@edge min 4")[1:4] == ["1.93×", "\N{MINUS SIGN}2.07×", "missed"]


def test_a_complete_report_has_every_section(pages: dict[str, str]) -> None:
    page = Page(pages["met"])

    assert page.headings == [
        "Target edge",
        "Accuracy budget",
        "Files",
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


def test_targets_stand_side_by_side_and_one_without_figures_says_so(pages: dict[str, str]) -> None:
    page = Page(pages["broad"])

    assert page.headings[:5] == [
        "Targets",
        "Target edge",
        "Target laptop",
        "Target phone",
        "Target cloud",
    ]
    start = page.text.index("PyTorch on CUDA, 2 threads, batch 32")
    assert page.text[start - 1] == "cloud"
    assert "not measured" in page.text[start : start + 8]
    assert page.text.count("Candidates, as exported") == 3


def test_a_target_without_its_device_names_the_stand_in() -> None:
    text = Page(render_html(make_broad_parts(layers=2, measured=4).build())).text

    assert text.count("measured on CPU as a stand-in") == 1
    assert any(
        entry.startswith("Measured side by side in PyTorch on bench-host; measured on CPU as a")
        for entry in text
    )


def test_each_file_has_its_format_types_and_figures(pages: dict[str, str]) -> None:
    page = Page(pages["broad"])

    row = page.row("artifacts/pruned-fp16.pt2")
    assert row[1:7] == [
        "16-bit weights, fp16 compute",
        "8.00 MiB",
        "7.20 MiB",
        "float16, float32",
        "float32",
        "92.68 %",
    ]
    assert "Kept float so that limits hold: features.conv0, fc." in page.text


def test_sensitivity_curves_show_both_ends_of_many_layers(pages: dict[str, str]) -> None:
    page = Page(pages["broad"])

    assert "The 12 most sensitive layers" in page.text
    assert "The 12 least sensitive layers" in page.text
    assert pages["broad"].count('<figure role="img" aria-label="features.layer') == 24
    # All 60 have a bar and a row of figures.
    assert pages["broad"].count('class="track"') == 60
    assert page.row("layer")[1:8] == [
        "kind",
        "before",
        "after",
        "cut",
        "drop at 25 %",
        "drop at 50 %",
        "drop at 75 %",
    ]


def test_weights_that_became_zero_are_counted_instead_of_channels() -> None:
    page = Page(render_html(make_weights_parts().build()))

    assert page.row("Steps")[1:6] == ["step", "weights zero", "accuracy", "change", "1"]
    assert "weights that are not zero, in order of the network" in page.text
    assert "channels cut" not in page.text


def test_a_run_without_a_limit_on_the_drop_says_that_there_is_no_budget() -> None:
    page = Page(render_html(make_weights_parts().build()))

    assert page.row("Accuracy budget")[1].startswith("No limit maxDrop on the primary metric")


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
    absent = {"Target edge", "Accuracy budget", "Files", "Pruning", "Final training"}
    assert not absent & set(page.headings)


def test_text_of_users_cannot_become_markup() -> None:
    parts = make_parts()
    parts.manifest = make_manifest(objectives=[{"metric": "accuracy", "direction": "Maximize"}])
    parts.warnings = ("<script>alert(1)</script>",)
    evil = "<img src=x onerror=alert(1)>"
    parts.candidates[1] = parts.candidates[1].model_copy(
        update={"id": evil, "rejected": evil, "details": {"layersFloat": [evil]}}
    )
    parts.pruned_layers = [
        layer.model_copy(update={"layer": evil}) for layer in make_layers(1) + parts.pruned_layers
    ]

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
        "61 %",
        "model.args.width",
        "22 %",
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
