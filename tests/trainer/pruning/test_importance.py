"""Scores equal references that are computed by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Importance
from trimtab_trainer.pruning.groups import ChannelGroup
from trimtab_trainer.pruning.importance import score_units, score_weights
from trimtab_trainer.pruning.saliency import Saliency

FindGroups = Callable[[str], tuple[ChannelGroup, ...]]

SALIENCY = Saliency(first={"0": torch.tensor([1.0, 2.0])}, second={"0": torch.tensor([4.0, 3.0])})


def score(network: nn.Module, group: ChannelGroup, importance: Importance) -> torch.Tensor:
    return score_units(network, group, importance, saliency=None, seed=0)


@pytest.mark.parametrize(
    ("importance", "size", "whole"),
    [
        (Importance.L1, torch.abs, lambda total: total),
        (Importance.L2, torch.square, torch.sqrt),
    ],
)
def test_norms_take_all_weights_that_go_with_a_unit(
    make_network: Callable[[str], nn.Module],
    find_network_groups: FindGroups,
    importance: Importance,
    size: Callable[[torch.Tensor], torch.Tensor],
    whole: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    network, group = make_network("plain"), find_network_groups("plain")[0]

    total = (
        size(network.get_parameter("0.weight")).sum(dim=(1, 2, 3))
        + size(network.get_parameter("1.weight"))
        + size(network.get_parameter("3.weight")).sum(dim=(0, 2, 3))
    )
    torch.testing.assert_close(score(network, group, importance), whole(total).detach())


def test_norms_count_all_positions_of_a_flattened_channel(
    make_network: Callable[[str], nn.Module], find_network_groups: FindGroups
) -> None:
    network, group = make_network("flattened"), find_network_groups("flattened")[0]

    total = network.get_parameter("0.weight").abs().sum(dim=(1, 2, 3)) + network.get_parameter(
        "4.weight"
    ).abs().reshape(32, 8, 16).sum(dim=(0, 2))
    torch.testing.assert_close(score(network, group, Importance.L1), total.detach())


def test_biases_and_running_statistics_do_not_make_a_unit_important(
    make_network: Callable[[str], nn.Module], find_network_groups: FindGroups
) -> None:
    network, group = make_network("residual"), find_network_groups("residual")[0]
    before = score(network, group, Importance.L2)

    for name, tensor in network.state_dict().items():
        if name.endswith(("bias", "running_mean", "running_var")):
            tensor.add_(100)

    torch.testing.assert_close(score(network, group, Importance.L2), before, rtol=0, atol=0)


def test_random_is_the_same_for_a_seed_and_another_for_each_layer_and_seed(
    make_network: Callable[[str], nn.Module], find_network_groups: FindGroups
) -> None:
    network, groups = make_network("residual"), find_network_groups("residual")

    draws = [
        score_units(network, group, Importance.RANDOM, saliency=None, seed=seed).tolist()
        for seed in (1, 1, 2)
        for group in groups
    ]

    assert [len(draw) for draw in draws] == [16] * 6
    assert draws[:2] == draws[2:4]
    assert len({tuple(draw) for draw in draws}) == 4


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        (Importance.L1, [3.0, 1.0]),
        (Importance.L2, [3.0, 1.0]),
        (Importance.TAYLOR, [1.0, 2.0]),
        (Importance.FISHER, [4.0, 3.0]),
    ],
)
def test_single_weights_are_scored_by_magnitude_or_by_loss_change(
    importance: Importance, expected: list[float]
) -> None:
    weight = torch.tensor([[-3.0], [1.0]])

    assert score_weights(weight, "0", importance, saliency=SALIENCY, seed=0).tolist() == expected


def test_measure_by_gradients_without_gradients_is_refused() -> None:
    with pytest.raises(ValueError, match="Taylor needs a saliency"):
        score_weights(torch.zeros(2), "0", Importance.TAYLOR, saliency=None, seed=0)
