"""Paths spread an amount as their allocation says, never turn back, and keep every limit."""

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab_api.v1alpha1.prune import Allocation, Granularity, Importance
from trimtab_trainer.pruning.allocation import Path, make_path
from trimtab_trainer.pruning.prunable import PrunableLayer
from trimtab_trainer.pruning.sensitivity import CurvePoint, LayerCurve


def make_layer(
    name: str,
    width: int,
    *,
    fixed: float | None = None,
    max_share: float = 0.8,
    multiple: int = 1,
) -> PrunableLayer:
    return PrunableLayer(name, Granularity.FILTERS, width, fixed, max_share, multiple)


def make_curve(layer: str, losses: Mapping[float, float]) -> LayerCurve:
    points = tuple(CurvePoint(ratio, 0.0, loss) for ratio, loss in losses.items())
    return LayerCurve(layer, Granularity.FILTERS, points)


def spread_globally(
    layers: list[PrunableLayer],
    scores: Mapping[str, list[float]],
    importance: Importance = Importance.TAYLOR,
) -> Path:
    return make_path(
        layers,
        Allocation.GLOBAL,
        importance=importance,
        scores={name: torch.tensor(values) for name, values in scores.items()},
        curves=(),
        costs={},
    )


def spread_by_sensitivity(
    layers: list[PrunableLayer], curves: list[LayerCurve], costs: Mapping[str, float]
) -> Path:
    return make_path(
        layers,
        Allocation.SENSITIVITY,
        importance=Importance.L2,
        scores={},
        curves=curves,
        costs=costs,
    )


def test_uniform_takes_the_same_share_of_every_layer() -> None:
    layers = [make_layer("a", 16), make_layer("b", 40)]
    path = make_path(
        layers, Allocation.UNIFORM, importance=Importance.L2, scores={}, curves=(), costs={}
    )

    assert path(0.25) == {"a": 12, "b": 30}


def test_global_takes_the_lowest_scores_of_all_layers_together() -> None:
    layers = [make_layer("a", 5), make_layer("b", 5)]
    path = spread_globally(layers, {"a": [1, 2, 3, 9, 9], "b": [2.5, 8, 8, 8, 8]})

    # Eight of ten parts may go.
    assert [path(number / 8) for number in range(6)] == [
        {"a": 5, "b": 5},
        {"a": 4, "b": 5},
        {"a": 3, "b": 5},
        {"a": 3, "b": 4},
        {"a": 2, "b": 4},
        {"a": 2, "b": 3},
    ]


def test_global_stops_at_the_largest_share_of_a_layer_and_goes_on_with_others() -> None:
    layers = [make_layer("a", 4, max_share=0.5), make_layer("b", 4, max_share=0.5)]
    path = spread_globally(layers, {"a": [0, 0, 0, 0], "b": [1, 2, 3, 4]})

    assert path(0.5) == {"a": 2, "b": 4}
    assert path(0.75) == {"a": 2, "b": 3}
    assert path(1.0) == {"a": 2, "b": 2}


def test_global_compares_norms_by_layer_and_loss_changes_as_they_are() -> None:
    layers = [make_layer("small", 2, max_share=0.5), make_layer("large", 2, max_share=0.5)]
    scores = {"small": [0.9, 1.0], "large": [1.0, 100.0]}

    assert spread_globally(layers, scores, Importance.L2)(0.5) == {"small": 2, "large": 1}
    assert spread_globally(layers, scores, Importance.FISHER)(0.5) == {"small": 1, "large": 2}


def test_global_of_equal_scores_is_decided_by_order() -> None:
    layers = [make_layer("a", 2, max_share=0.5), make_layer("b", 2, max_share=0.5)]

    assert spread_globally(layers, {"a": [0, 0], "b": [0, 0]})(0.5) == {"a": 1, "b": 2}


def test_sensitivity_takes_the_cheapest_first() -> None:
    layers = [make_layer("vital", 8), make_layer("useless", 8)]
    curves = [
        make_curve("vital", {0.25: 1.0, 0.5: 2.0, 0.75: 4.0}),
        make_curve("useless", {0.25: 0.0, 0.5: 0.0, 0.75: 0.0}),
    ]
    path = spread_by_sensitivity(layers, curves, {"vital": 0.5, "useless": 0.5})

    assert path(0.5) == {"vital": 8, "useless": 2}
    assert path(1.0) == {"vital": 2, "useless": 2}


def test_sensitivity_meets_all_layers_at_the_same_price() -> None:
    layers = [make_layer("a", 100, max_share=0.5), make_layer("b", 100, max_share=0.5)]
    curves = [
        make_curve("a", {0.25: 1.0, 0.5: 4.0}),
        make_curve("b", {0.25: 2.0, 0.5: 9.0}),
    ]
    path = spread_by_sensitivity(layers, curves, {"a": 1.0, "b": 1.0})

    # The prices are 1 and 3 in a, 2 and 7 in b.
    assert path(0.25) == {"a": 75, "b": 100}
    assert path(0.5) == {"a": 75, "b": 75}
    assert path(0.75) == {"a": 50, "b": 75}


def test_sensitivity_prefers_the_layer_that_saves_more_for_an_equal_loss() -> None:
    layers = [make_layer("light", 8), make_layer("heavy", 8)]
    curves = [make_curve(layer.name, {0.5: 1.0}) for layer in layers]
    path = spread_by_sensitivity(layers, curves, {"light": 0.1, "heavy": 0.9})

    assert path(0.5)["light"] == 8
    assert path(0.5)["heavy"] < 8


def test_sensitivity_leaves_what_it_knows_nothing_of_to_the_end() -> None:
    layers = [make_layer("unknown", 2), make_layer("known", 8)]
    curves = [make_curve("unknown", {}), make_curve("known", {0.5: 5.0})]
    path = spread_by_sensitivity(layers, curves, {"unknown": 0.5, "known": 0.5})

    assert path(0.99)["unknown"] == 2
    assert path(1.0) == {"unknown": 1, "known": 2}


@pytest.mark.parametrize("allocation", Allocation)
def test_fixed_share_holds_on_every_path_from_the_start(allocation: Allocation) -> None:
    layers = [
        make_layer("free", 8),
        make_layer("fixed", 8, fixed=0.5),
        make_layer("kept", 8, fixed=0),
    ]
    path = make_path(
        layers,
        allocation,
        importance=Importance.L2,
        scores={layer.name: torch.arange(8.0) for layer in layers},
        curves=[make_curve("free", {0.5: 1.0})],
        costs={"free": 1.0},
    )

    assert path(0.0) == {"free": 8, "fixed": 4, "kept": 8}
    assert path(1.0) == {"free": 2, "fixed": 4, "kept": 8}


@st.composite
def draw_paths(draw: st.DrawFn) -> tuple[list[PrunableLayer], Path]:
    limit, multiple = draw(st.floats(0.1, 0.95)), draw(st.sampled_from([1, 2, 8]))
    widths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    layers = [
        make_layer(
            f"layer{index}",
            width,
            fixed=draw(st.none() | st.floats(0, limit)),
            max_share=limit,
            multiple=multiple,
        )
        for index, width in enumerate(widths)
    ]
    losses = st.lists(st.floats(-1, 5), min_size=3, max_size=3)
    path = make_path(
        layers,
        draw(st.sampled_from(Allocation)),
        importance=Importance.L2,
        scores={
            layer.name: torch.tensor(
                draw(st.lists(st.floats(0, 4), min_size=layer.width, max_size=layer.width))
            )
            for layer in layers
        },
        curves=[
            make_curve(layer.name, dict(zip((0.25, 0.5, 0.75), draw(losses), strict=True)))
            for layer in layers
        ],
        costs={layer.name: draw(st.floats(0, 1)) for layer in layers},
    )
    return layers, path


@given(drawn=draw_paths(), shares=st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_f66_paths_never_turn_back_and_leave_every_layer_inside_its_limits(
    drawn: tuple[list[PrunableLayer], Path], shares: list[float]
) -> None:
    layers, path = drawn
    planned = [path(share) for share in sorted([0.0, *shares, 1.0])]

    for layer in layers:
        widths = [point[layer.name] for point in planned]
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] >= 1
        assert layer.width - widths[-1] <= layer.max_share * layer.width + 1e-6
        if layer.fixed_share is None:
            assert (widths[0], widths[-1]) == (layer.width, layer.keep(1.0))
