"""Groups hold all layers that share channels, and only groups that may be cut are found."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from typing_extensions import override

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.layers import Direction


def test_residual_add_couples_both_its_branches(
    make_network: Callable[[str], nn.Module], example: torch.Tensor
) -> None:
    groups = find_groups(make_network("residual"), example)

    sides = [{(member.layer, member.direction) for member in group.members} for group in groups]
    assert [group.width for group in groups] == [16, 16]
    assert {
        ("network.stem", Direction.OUTPUT),
        ("network.conv1", Direction.INPUT),
        ("network.conv2", Direction.OUTPUT),
        ("network.bn2", Direction.OUTPUT),
        ("network.fc", Direction.INPUT),
    } in sides
    assert {
        ("network.conv1", Direction.OUTPUT),
        ("network.bn1", Direction.OUTPUT),
        ("network.conv2", Direction.INPUT),
    } in sides


def test_flattened_feature_map_gives_each_channel_all_its_positions(
    make_network: Callable[[str], nn.Module], example: torch.Tensor
) -> None:
    group = find_groups(make_network("flattened"), example)[0]

    linear = next(member for member in group.members if member.layer == "4")
    assert linear.positions == tuple(range(8 * 16))
    assert linear.channels == tuple(position // 16 for position in range(8 * 16))


def test_output_layer_is_in_no_group_as_output(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, network_name: str
) -> None:
    network = make_network(network_name)
    output_layer = list(dict(network.named_modules()))[-1]

    outputs = {
        member.layer
        for group in find_groups(network, example)
        for member in group.members
        if member.direction is Direction.OUTPUT
    }
    assert outputs
    assert output_layer not in outputs


def test_channels_that_reach_the_output_through_an_operation_are_left_out(
    example: torch.Tensor,
) -> None:
    class Softmax(nn.Module):
        @override
        def forward(self, scores: torch.Tensor) -> torch.Tensor:
            return scores.log_softmax(dim=1)

    groups = find_groups(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 5), Softmax()), example
    )

    assert [group.root for group in groups] == ["1"]


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(16, 16, 1, groups=2), nn.GroupNorm(4, 16)],
    ids=["grouped convolution", "group norm"],
)
def test_group_through_a_layer_that_cannot_be_cut_stays_whole(
    example: torch.Tensor, layer: nn.Module
) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 16, 1), layer, nn.Conv2d(16, 8, 1), nn.Flatten(), nn.Linear(512, 5)
    )

    assert [group.root for group in find_groups(network, example)] == ["2"]


def test_trace_leaves_mode_weights_and_gradients_as_they_were(
    make_network: Callable[[str], nn.Sequential], example: torch.Tensor
) -> None:
    network = make_network("plain").train()
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    find_groups(network, example)

    assert [module.training for module in network] == [index != 1 for index in range(8)]
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_model_that_fails_on_the_example_is_a_user_error(
    make_network: Callable[[str], nn.Module],
) -> None:
    with pytest.raises(UserError, match=r"input shape \(2, 3, 8, 8\).*expected input"):
        find_groups(make_network("plain"), torch.zeros(2, 3, 8, 8))
