"""Widths that are found reach the amount closely, or the amount is refused with what can be."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from traced_groups import trace_each_network_once
from trimtab_api.v1alpha1.prune import Allocation, Granularity, Importance
from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.allocation import make_path
from trimtab_trainer.pruning.amounts import Amount, AmountKind, Counters
from trimtab_trainer.pruning.budget import check_amount, find_target
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.granularity import find_prunable
from trimtab_trainer.pruning.sensitivity import CurvePoint, LayerCurve

MakeNetwork = Callable[[str], nn.Module]

EVERY_GRANULARITY = [Granularity.WEIGHTS, Granularity.STRUCTURES]


@pytest.fixture(autouse=True)
def _trace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trace_each_network_once(monkeypatch)


def count_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 1, 8, 8))
    return int(counter.get_total_flops())


COUNTERS = Counters(params=count_params, flops=count_flops)


def find_widths(
    network: nn.Module, example: torch.Tensor, amount: Amount, settings: PruneSettings
) -> dict[str, int]:
    """Return the widths of an amount, with sensitivities that grow with the layer's place."""
    dense = find_prunable(network, example, settings)
    path = make_path(
        dense.layers,
        settings.allocation,
        importance=settings.importance,
        scores=dense.score(lambda model: []),
        curves=[
            LayerCurve(layer.name, layer.kind, (CurvePoint(0.5, 0.0, place),))
            for place, layer in enumerate(dense.layers)
        ],
        costs={layer.name: 1.0 for layer in dense.layers},
    )
    return find_target(dense, path, amount=amount, settings=settings, counters=COUNTERS)


@pytest.mark.parametrize("allocation", Allocation)
@pytest.mark.parametrize("kind", AmountKind)
def test_amount_is_reached_closely_by_every_allocation(
    make_network: MakeNetwork,
    example: torch.Tensor,
    settings: PruneSettings,
    allocation: Allocation,
    kind: AmountKind,
) -> None:
    network = make_network("plain")
    chosen = dataclasses.replace(settings, allocation=allocation)

    widths = find_widths(network, example, Amount(kind, 0.5), chosen)

    reached = find_prunable(network, example, settings).reduction(kind, widths, COUNTERS)
    assert 0.5 <= reached < 0.57  # One channel of 16 is the least that can go.


@pytest.mark.parametrize("allocation", Allocation)
@pytest.mark.parametrize("kind", [AmountKind.RATIO, AmountKind.PARAMS_REDUCTION])
def test_amount_of_single_weights_is_reached_closely(
    make_network: MakeNetwork,
    example: torch.Tensor,
    settings: PruneSettings,
    allocation: Allocation,
    kind: AmountKind,
) -> None:
    network = make_network("plain")
    chosen = dataclasses.replace(settings, allocation=allocation, granularity=Granularity.WEIGHTS)

    widths = find_widths(network, example, Amount(kind, 0.5), chosen)

    reached = find_prunable(network, example, chosen).reduction(kind, widths, COUNTERS)
    assert reached == pytest.approx(0.5, abs=0.002)


def test_ratio_is_taken_from_every_layer_by_uniform(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    widths = find_widths(make_network("plain"), example, Amount(AmountKind.RATIO, 0.25), settings)
    assert widths == {"0": 12, "3": 24}


def test_ratio_that_rounding_keeps_out_of_reach_is_taken_as_far_as_it_goes(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    coarse = dataclasses.replace(settings, round_to=16, allocation=Allocation.GLOBAL)
    amount = Amount(AmountKind.RATIO, 0.7)

    assert find_widths(make_network("plain"), example, amount, coarse) == {"0": 16, "3": 16}


def test_widths_are_rounded_in_channels_of_which_a_unit_may_have_several(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    rounded = dataclasses.replace(settings, round_to=8, max_layer_ratio=0.5)
    layers = find_prunable(make_network("grouped"), example, rounded).layers

    # Groups of four channels go in pairs.
    assert [layer.keep(0.25) * 4 % 8 for layer in layers if layer.width == 4] == [0]
    assert [layer.multiple for layer in layers if layer.width == 4] == [2]


def test_fixed_shares_count_towards_the_amount(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    fixed = dataclasses.replace(settings, layer_ratios={"3": 0.5})
    network = make_network("plain")

    alone = find_widths(network, example, Amount(AmountKind.PARAMS_REDUCTION, 0.4), fixed)
    more = find_widths(network, example, Amount(AmountKind.PARAMS_REDUCTION, 0.6), fixed)

    assert alone == {"0": 16, "3": 16}
    assert more["3"] == 16
    assert more["0"] < 16


def test_search_leaves_the_model_as_it_was(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("plain")
    before = copy.deepcopy(network.state_dict())
    find_widths(network, example, Amount(AmountKind.PARAMS_REDUCTION, 0.3), settings)

    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("allocation", Allocation)
@pytest.mark.parametrize("granularity", EVERY_GRANULARITY)
def test_reduction_out_of_reach_is_found_without_data_and_names_what_can_be_reached(
    make_network: MakeNetwork,
    example: torch.Tensor,
    settings: PruneSettings,
    granularity: Granularity,
    allocation: Allocation,
) -> None:
    tight = dataclasses.replace(
        settings,
        granularity=granularity,
        allocation=allocation,
        importance=Importance.TAYLOR,
        max_layer_ratio=0.25,
    )
    with pytest.raises(
        UserError, match=r"prune\.amount\.paramsReduction is 0\.9, but at most 0\.[24]"
    ):
        check_amount(
            make_network("plain"),
            example,
            amount=Amount(AmountKind.PARAMS_REDUCTION, 0.9),
            settings=tight,
            counters=COUNTERS,
        )


@pytest.mark.parametrize("granularity", EVERY_GRANULARITY)
def test_ratio_above_the_largest_share_of_a_layer_names_both(
    make_network: MakeNetwork,
    example: torch.Tensor,
    settings: PruneSettings,
    granularity: Granularity,
) -> None:
    chosen = dataclasses.replace(settings, granularity=granularity)
    with pytest.raises(
        UserError, match=r"amount\.ratio is 0\.9, but.*maxLayerRatio, which is 0\.8"
    ):
        check_amount(
            make_network("plain"),
            example,
            amount=Amount(AmountKind.RATIO, 0.9),
            settings=chosen,
            counters=COUNTERS,
        )


@pytest.mark.parametrize("allocation", Allocation)
def test_amount_that_removes_nothing_names_rounding_and_widths(
    make_network: MakeNetwork,
    example: torch.Tensor,
    settings: PruneSettings,
    allocation: Allocation,
) -> None:
    coarse = dataclasses.replace(settings, round_to=32, allocation=allocation)
    with pytest.raises(UserError, match=r"removes nothing.*widths \[16, 32\].*roundTo 32"):
        check_amount(
            make_network("plain"),
            example,
            amount=Amount(AmountKind.RATIO, 0.5),
            settings=coarse,
            counters=COUNTERS,
        )


def test_flops_of_single_weights_are_refused_before_any_training(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    chosen = dataclasses.replace(settings, granularity=Granularity.WEIGHTS)
    with pytest.raises(
        UserError, match=r"flopsReduction cannot be reached with granularity Weights"
    ):
        check_amount(
            make_network("plain"),
            example,
            amount=Amount(AmountKind.FLOPS_REDUCTION, 0.5),
            settings=chosen,
            counters=COUNTERS,
        )
