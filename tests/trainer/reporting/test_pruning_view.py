"""Pruning as the report tells it: the method in words, bars and figures of layers, chosen curves."""

import pytest

from compression_builder import make_broad_parts, make_layers
from report_builder import make_partial_parts, make_report
from trimtab_api.reports import CurvePoint, PrunedLayerReport, RunReport
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.reporting.pruning_view import PruningView, build_pruning, shorten_name
from trimtab_trainer.reporting.sensitivity_view import list_plot_groups


def build(report: RunReport) -> PruningView:
    view = build_pruning(report, Spec.model_validate(report.spec))
    assert view is not None
    return view


def make_layer(name: str, *points: tuple[float, float], after: int = 6) -> PrunedLayerReport:
    curve = tuple(CurvePoint(ratio=r, drop=d, loss_increase=d) for r, d in points)
    return PrunedLayerReport(layer=name, kind="Filters", before=10, after=after, curve=curve)


def test_the_method_is_told_in_words() -> None:
    assert build(make_broad_parts(layers=1).build()).method == {
        "cut": "filters, neurons and attention heads",
        "chosen by": "change of the loss to first order (Taylor)",
        "spread": "where trial cuts of single layers cost least",
        "asked": "50 % of the FLOPs",
        "steps": "3, cubic",
    }


def test_bars_compare_layers_with_the_widest_and_with_what_is_left() -> None:
    view = build(make_report())

    assert [(bar.name, bar.width, bar.kept, bar.counts, bar.change) for bar in view.bars] == [
        ("conv1", 50.0, 75.0, "32 → 24", "\N{MINUS SIGN}25 %"),
        ("conv2", 100.0, pytest.approx(62.5), "64 → 40", "\N{MINUS SIGN}38 %"),
        ("conv3", 100.0, 100.0, "64", ""),
    ]
    assert view.summary == "2 of 3 layers lost something; most: conv2, \N{MINUS SIGN}38 %."


def test_a_huge_network_has_all_its_layers_in_the_table_alone() -> None:
    view = build(make_broad_parts(layers=100).build())

    assert (len(view.bars), len(view.rows)) == (64, 100)


def test_a_trial_cut_stands_under_the_share_that_it_was_meant_for() -> None:
    parts = make_broad_parts()
    # Of ten filters, two or eight were cut: no trial is near one half.
    parts.pruned_layers = [make_layer("a", (0.2, 0.01), (0.8, 0.2)), make_layer("b", after=10)]

    first, second = build(parts.build()).rows

    assert first.cells[-3:] == ("1.00 points", "–", "20.00 points")
    assert second.cells == ("filters", "10", "10", "±0", "–", "–", "–")


def test_a_run_that_lost_no_layer_says_so() -> None:
    parts = make_broad_parts()
    parts.pruned_layers = [make_layer("a", after=10)]

    assert build(parts.build()).summary == "None of 1 layers lost anything."


def test_a_run_that_prunes_nothing_has_no_such_section() -> None:
    parts = make_partial_parts()
    parts.prune_steps, parts.pruned_layers = [], []
    report = parts.build()

    assert build_pruning(report, Spec.model_validate(report.spec)) is None


def test_long_names_keep_both_ends() -> None:
    short = shorten_name("features.denseblock3.denselayer12.conv1", 20)

    assert (len(short), short[:4], short[-6:]) == (20, "feat", ".conv1")
    assert shorten_name("conv1", 20) == "conv1"


def test_few_layers_are_shown_together_the_most_sensitive_first() -> None:
    layers = [
        make_layer("calm", (0.25, 0.0), (0.75, 0.01)),
        make_layer("vital", (0.25, 0.1), (0.75, 0.5)),
        make_layer("unmeasured"),
    ]

    (group,) = list_plot_groups(layers, "accuracy")

    assert [plot.name for plot in group.plots] == ["vital", "calm"]
    assert group.domain == (0.0, 50.0)


def test_many_layers_are_shown_from_both_ends_with_axes_of_their_own() -> None:
    most, least = list_plot_groups(make_layers(60), "accuracy")

    assert (len(most.plots), len(least.plots)) == (12, 12)
    assert not {plot.full_name for plot in most.plots} & {plot.full_name for plot in least.plots}
    assert most.domain[1] > 10 * least.domain[1]


@pytest.mark.parametrize(
    ("after", "cost", "note"),
    [
        (10, 0.0, "not cut"),
        (9, 0.4, "cut by 10 %: 0.40 points"),
        (5, 2.0, "cut by 50 %: 2.00 points"),
        (2, 3.0, "cut by 80 %: 3.00 points"),
    ],
    ids=["uncut", "before the first trial", "between trials", "beyond the last"],
)
def test_the_mark_stands_on_the_curve_where_the_layer_was_cut(
    after: int, cost: float, note: str
) -> None:
    layer = make_layer("conv", (0.25, 0.01), (0.75, 0.03), after=after)

    ((plot,),) = [group.plots for group in list_plot_groups([layer], "accuracy")]

    assert plot.points == ((0.0, 0.0), (0.25, 1.0), (0.75, 3.0))
    assert plot.cost == pytest.approx(cost)
    assert plot.note == note


def test_a_layer_whose_cuts_cost_nothing_has_an_axis_all_the_same() -> None:
    (group,) = list_plot_groups([make_layer("calm", (0.5, 0.0))], "accuracy")

    assert group.domain[0] < group.domain[1]
