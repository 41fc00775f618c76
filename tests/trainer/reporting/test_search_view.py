"""The section on the search tells how it went, what matters, and why trials have no value."""

import re

import pytest

from report_builder import make_failed_report, make_manifest, make_parts, make_report, make_trials
from search_builder import make_busy_parts, make_busy_report
from trimtab_api.reports import ImportanceReport, RunReport
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.reporting.charts.canvas import TrialMark
from trimtab_trainer.reporting.search_charts import SearchCharts, draw_search
from trimtab_trainer.reporting.search_view import SearchView, build_search, order_parameters

BUSY = make_busy_report()


def view_of(report: RunReport) -> SearchView:
    return build_search(report, Spec.model_validate(report.spec))


def charts_of(report: RunReport) -> SearchCharts:
    return draw_search(report, Spec.model_validate(report.spec))


def rows_by_state(view: SearchView, state: str) -> list[str]:
    return [row.message for row in view.rows if row.state.startswith(state)]


@pytest.fixture(scope="module")
def busy() -> SearchCharts:
    return charts_of(BUSY)


@pytest.mark.parametrize("direction", Direction)
def test_trials_are_listed_best_first_and_failed_ones_last(direction: Direction) -> None:
    parts = make_parts()
    objective = {"metric": "accuracy", "direction": str(direction)}
    parts.manifest = make_manifest(objectives=[objective])
    spec = Spec.model_validate({**make_report().spec, "objectives": [objective]})
    report = make_report().model_copy(update={"trials": tuple(make_trials())})

    rows = build_search(report, spec).rows

    values = {trial.number: trial.values.get("accuracy", 0.0) for trial in report.trials}
    listed = [values[int(row.name)] for row in rows[:-2]]
    assert listed == sorted(listed, reverse=direction is Direction.MAXIMIZE)
    assert [row.name for row in rows[-2:]] == ["5", "11"]
    assert rows[-1].message == "Diverged: loss became nan in epoch 2"


def test_the_table_says_how_each_trial_ended() -> None:
    view = view_of(BUSY)

    states = {re.sub(r"\d+ epochs?", "n epochs", row.state) for row in view.rows}
    assert states == {
        "succeeded",
        "stopped early after n epochs",
        "infeasible",
        "failed",
        "earlier job",
    }
    assert any(row.name.startswith("earlier ") for row in view.rows)
    best = BUSY.status.best
    assert best is not None
    assert [row.name for row in view.rows if row.is_best] == [str(best.trial)]


def test_limits_retries_and_failures_have_their_figures() -> None:
    view = view_of(BUSY)

    messages = rows_by_state(view, "succeeded")
    retry = "ran again after OOM (ShrinkBatch): out of memory: tried to allocate 2.1 GiB"
    assert retry in messages
    assert "over the limit: params max 200000 by 23.3 k" in messages
    assert rows_by_state(view, "failed")[0] == "Diverged: loss became nan at step 41"
    assert rows_by_state(view, "infeasible")[0].startswith("over the limit: params max 200000 by")


def test_the_outcome_counts_every_end() -> None:
    outcome = view_of(BUSY).outcome

    counts = dict(reversed(part.split(" ", 1)) for part in outcome.split(", "))
    ends = ("succeeded", "stopped early", "infeasible", "failed")
    assert sum(int(counts[end]) for end in ends) == len(BUSY.trials)
    assert int(counts["known from an earlier job"]) == len(BUSY.cached_trials)
    assert int(counts["ran again after a failure"]) > 0
    assert int(counts["of the succeeded over a limit"]) > 0


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        ({"bayesian": {"surrogate": "GaussianProcess"}}, "Bayesian with Gaussian process"),
        ({"random": {}}, "random"),
    ],
)
def test_the_method_is_named(algorithm: dict[str, object], words: str) -> None:
    parts = make_busy_parts(3, slots=2)
    parts.manifest["spec"]["stages"]["search"]["algorithm"] = algorithm

    assert view_of(parts.build()).method == (
        f"{words}, 2 at once, early stopping by ASHA on accuracy, 1 point given,"
        " results of digits-small known"
    )


def test_importance_is_ranked_with_bars_to_the_longest() -> None:
    first, second = view_of(BUSY).importance

    assert (first.metric, second.metric) == ("accuracy", "params")
    assert [row.percent for row in first.rows] == ["61 %", "22 %", "9 %", "5 %", "3 %"]
    assert first.rows[0].width == 100
    assert first.rows[1].width == pytest.approx(22 / 61 * 100, abs=0.1)


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ((0.9926, 0.9963, 1.0), "The trials differ by 2 validation samples: this ranking is weak."),
        ((0.9, 0.9), "The trials differ by 0 validation samples: this ranking is weak."),
        ((0.9, 0.99), ""),
    ],
)
def test_a_ranking_of_nearly_equal_trials_is_doubted(values: tuple[float, ...], doubt: str) -> None:
    parts = make_parts()
    parts.trials = [
        trial.model_copy(update={"values": {"accuracy": value}, "state": TrialState.SUCCEEDED})
        for trial, value in zip(make_trials(), values, strict=False)
    ]
    shares = (ImportanceReport(metric="accuracy", shares={"train.learningRate": 1.0}),)
    report = parts.build().model_copy(update={"importance": shares})

    assert [entry.doubt for entry in view_of(report).importance] == [doubt]

    # Without a budget, the number of samples tells.
    data = {"samples": {"validation": 270}}
    status = report.status.model_copy(update={"budget": None})
    report = report.model_copy(update={"status": status, "data": data})
    assert [entry.doubt for entry in view_of(report).importance] == [doubt]


def test_the_most_important_parameters_come_first() -> None:
    shares = ImportanceReport(metric="accuracy", shares={"b": 0.7, "a": 0.3})
    report = make_report().model_copy(update={"importance": (shares,)})

    assert order_parameters(report, ["a", "c", "b"]) == ["b", "a", "c"]
    assert order_parameters(make_report(), ["a", "c", "b"]) == ["a", "c", "b"]


def test_a_long_search_lists_its_best_trials_and_some_failures() -> None:
    parts = make_parts()
    parts.trials = make_trials(80)

    view = view_of(parts.build())

    assert (len(view.rows), view.total) == (52, 80)
    assert [row.state for row in view.rows[-2:]] == ["failed", "failed"]


def test_a_busy_search_has_every_chart(busy: SearchCharts) -> None:
    assert len(busy.slices) == 5
    assert len(busy.fronts) == 1
    assert busy.history is not None
    assert "stopped early stand at their last value" in busy.history.caption
    assert "without a value" in busy.history.caption
    assert "Hollow triangles in the strip: " in busy.history.caption
    assert "Hollow triangles in the strip: " in busy.slices_caption
    assert busy.parallel is not None
    assert busy.curves is not None
    assert busy.curves.caption.endswith("A dot ends those that were stopped early.")
    assert busy.timeline is not None
    assert busy.timeline.caption.startswith("Trials in 4 slots, 2 starts of the run")
    assert busy.legend == (
        TrialMark.TRIAL,
        TrialMark.LIMITED,
        TrialMark.STOPPED,
        TrialMark.EARLIER,
    )


def test_one_trial_has_its_curve_and_no_chart_that_tells_nothing() -> None:
    parts = make_parts()
    parts.trials = make_trials(1)

    charts = charts_of(parts.build())

    assert charts.history is not None
    assert charts.curves is not None
    assert (charts.slices, charts.parallel, charts.fronts, charts.timeline) == ((), None, (), None)


def test_a_search_without_any_value_has_no_chart_of_values() -> None:
    charts = charts_of(make_failed_report())

    assert (charts.history, charts.slices, charts.curves) == (None, (), None)


def test_a_thousand_trials_are_thinned_and_say_so() -> None:
    charts = charts_of(make_busy_report(1000, slots=16))

    assert "the best 125 and an even sample are drawn" in charts.slices_caption
    assert charts.curves is not None
    assert charts.curves.caption.startswith("accuracy after each epoch: the best 30 of ")
    assert charts.history is not None
    drawn = [charts.history, charts.curves, charts.parallel, charts.timeline]
    size = sum(len(chart.svg) for chart in drawn if chart) + sum(map(len, charts.slices))
    assert size < 1_500_000


def test_many_parameters_are_cut_to_the_telling_ones() -> None:
    names = [f"model.args.p{number}" for number in range(12)]
    parts = make_parts()
    parts.manifest["spec"]["stages"]["search"]["parameters"] = [
        {"name": name, "searchSpace": {"uniform": {"min": 0, "max": 1}}} for name in names
    ]
    parts.trials = [
        trial.model_copy(update={"parameters": dict.fromkeys(names, trial.number / 16)})
        for trial in parts.trials
    ]

    charts = charts_of(parts.build())

    assert len(charts.slices) == 6
    assert charts.slices_caption.startswith("The 6 first of 12 parameters.")
    assert charts.parallel is not None
    assert "The 8 first of 12 parameters." in charts.parallel.caption


def test_curves_follow_the_metric_that_early_stopping_judges() -> None:
    parts = make_busy_parts(6)
    parts.manifest["spec"]["stages"]["search"]["earlyStopping"]["metric"] = "loss"

    charts = charts_of(parts.build())

    assert charts.curves is not None
    assert charts.curves.caption.startswith("loss after each epoch")


def test_trials_of_an_earlier_job_do_not_count_as_this_ones() -> None:
    view = view_of(BUSY)

    assert view.total == len(BUSY.trials) + len(BUSY.cached_trials)
    assert {trial.state for trial in BUSY.cached_trials} == {TrialState.CACHED}


def test_the_whole_front_stands_on_the_axis_and_poor_trials_beside_it() -> None:
    parts = make_busy_parts(8)
    values = [(0.99, 900), (0.989, 800), (0.988, 700), (0.9, 100), (0.99, 950), (0.3, 960)]
    parts.trials = [
        trial.model_copy(
            update={
                "values": {"accuracy": accuracy, "params": params},
                "state": TrialState.SUCCEEDED,
                "violations": {},
            }
        )
        for trial, (accuracy, params) in zip(parts.trials, values, strict=False)
    ]

    (front,) = charts_of(parts.build()).fronts

    assert "below 90 %" in front.svg
    assert front.caption.endswith("values worse than the axis shows.")
