"""Widths that are found reach the amount closely, or the amount is refused with what can be."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.budget import Amount, AmountKind, Counters, CutTarget, find_target
from trimtab_trainer.pruning.cutter import PruneSettings, cut_to, find_cuttable_groups


def count_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def make_counters(example: torch.Tensor) -> Counters:
    def count_flops(network: nn.Module) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.eval()(example[:1])
        return int(counter.get_total_flops())

    return Counters(params=count_params, flops=count_flops)


def reach(
    network: nn.Module, example: torch.Tensor, amount: Amount, settings: PruneSettings
) -> dict[AmountKind, float]:
    """Return the fractions of parameters and FLOPs that the target found removes."""
    counters = make_counters(example)
    groups = find_cuttable_groups(network, example, settings)
    target = find_target(network, groups, amount=amount, settings=settings, counters=counters)
    pruned = copy.deepcopy(network)
    cut_to(pruned, example=example, widths=target.widths, settings=settings)
    return {
        AmountKind.PARAMS_REDUCTION: 1 - counters.params(pruned) / counters.params(network),
        AmountKind.FLOPS_REDUCTION: 1 - counters.flops(pruned) / counters.flops(network),
    }


@pytest.mark.parametrize("kind", [AmountKind.PARAMS_REDUCTION, AmountKind.FLOPS_REDUCTION])
def test_reduction_of_a_small_network_is_reached(
    make_network: Callable[[str], nn.Module],
    example: torch.Tensor,
    settings: PruneSettings,
    kind: AmountKind,
) -> None:
    reached = reach(make_network("plain"), example, Amount(kind, 0.5), settings)[kind]

    assert 0.5 <= reached < 0.55  # One channel of 16 is the least that can go.


def test_resnet18_loses_half_of_its_flops_in_widths_of_eight(settings: PruneSettings) -> None:
    network = torchvision.models.resnet18(num_classes=10)
    amount = Amount(AmountKind.FLOPS_REDUCTION, 0.5)
    rounded = dataclasses.replace(settings, round_to=8)

    reached = reach(network, torch.zeros(2, 3, 28, 28), amount, rounded)

    assert 0.5 <= reached[AmountKind.FLOPS_REDUCTION] < 0.51


def test_ratio_is_taken_from_every_layer(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("plain")
    target = find_target(
        network,
        find_cuttable_groups(network, example, settings),
        amount=Amount(AmountKind.RATIO, 0.25),
        settings=settings,
        counters=make_counters(example),
    )
    assert target == CutTarget(0.25, {"0": 12, "3": 24})


def test_search_leaves_the_model_as_it_was(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("plain")
    before = copy.deepcopy(network.state_dict())
    reach(network, example, Amount(AmountKind.PARAMS_REDUCTION, 0.3), settings)

    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_reduction_out_of_reach_names_what_can_be_reached(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    tight = dataclasses.replace(settings, max_layer_ratio=0.25)
    with pytest.raises(UserError, match=r"prune\.amount\.flopsReduction is 0\.9, but at most 0\.4"):
        reach(make_network("plain"), example, Amount(AmountKind.FLOPS_REDUCTION, 0.9), tight)


def test_ratio_that_removes_nothing_names_rounding_and_widths(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    coarse = dataclasses.replace(settings, round_to=32)
    with pytest.raises(UserError, match=r"removes no channel: roundTo is 32.*\[16, 32\]"):
        reach(make_network("plain"), example, Amount(AmountKind.RATIO, 0.5), coarse)
