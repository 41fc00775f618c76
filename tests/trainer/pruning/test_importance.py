"""Scores equal references that are computed by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Importance
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.importance import score_channels


def test_l2_sums_squares_of_all_weights_that_go_with_a_channel(
    make_network: Callable[[str], nn.Module], example: torch.Tensor
) -> None:
    network = make_network("plain")
    group = find_groups(network, example)[0]

    squares = (
        network.get_parameter("0.weight").square().sum(dim=(1, 2, 3))
        + network.get_parameter("1.weight").square()
        + network.get_parameter("3.weight").square().sum(dim=(0, 2, 3))
    )
    scores = score_channels(network, group, Importance.L2)
    torch.testing.assert_close(scores, squares.sqrt().detach())


def test_l2_counts_all_positions_of_a_flattened_channel(
    make_network: Callable[[str], nn.Module], example: torch.Tensor
) -> None:
    network = make_network("flattened")
    group = find_groups(network, example)[0]

    squares = network.get_parameter("0.weight").square().sum(dim=(1, 2, 3)) + network.get_parameter(
        "4.weight"
    ).square().reshape(32, 8, 16).sum(dim=(0, 2))
    scores = score_channels(network, group, Importance.L2)
    torch.testing.assert_close(scores, squares.sqrt().detach())


def test_l2_ranks_hand_made_layers_by_their_norm() -> None:
    network = nn.Sequential(nn.Linear(1, 3, bias=False), nn.Linear(3, 1, bias=False))
    network[0].weight.data = torch.tensor([[3.0], [0.0], [1.0]])
    network[1].weight.data = torch.tensor([[4.0, 2.0, 0.0]])
    group = find_groups(network, torch.zeros(2, 1))[0]

    assert score_channels(network, group, Importance.L2).tolist() == [5.0, 2.0, 1.0]


def test_biases_do_not_make_a_channel_important(
    make_network: Callable[[str], nn.Module], example: torch.Tensor
) -> None:
    network = make_network("residual")
    group = find_groups(network, example)[0]
    before = score_channels(network, group, Importance.L2)

    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.add_(100)

    assert score_channels(network, group, Importance.L2).tolist() == pytest.approx(before.tolist())
