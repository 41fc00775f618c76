"""A cut removes the least important channels from all layers that share them."""

import copy
import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn
from typing_extensions import override

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    cut_to,
    find_cuttable_groups,
    plan_cuts,
    plan_widths,
)
from trimtab_trainer.pruning.groups import ChannelGroup


def silence_channels(network: nn.Module, groups: Sequence[ChannelGroup], keep_every: int) -> None:
    """Zero all but every n-th channel of each group in every layer that holds it."""
    layers = dict(network.named_modules())
    for group in groups:
        for member in group.members:
            layer = layers[member.layer]
            gone = [
                position
                for position, channel in zip(member.positions, member.channels, strict=True)
                if channel % keep_every
            ]
            if member.direction == "output":
                for name in ("weight", "bias", "running_mean"):
                    tensor = getattr(layer, name, None)
                    if tensor is not None:
                        is_transposed = name == "weight" and isinstance(layer, nn.ConvTranspose2d)
                        (tensor.data.transpose(0, 1) if is_transposed else tensor.data)[gone] = 0
            elif isinstance(layer, nn.ConvTranspose2d):
                layer.weight.data[gone] = 0
            else:
                layer.weight.data[:, gone] = 0


def test_cutting_silent_channels_leaves_the_output_as_it_was(
    make_network: Callable[[str], nn.Module],
    network_name: str,
    example: torch.Tensor,
    settings: PruneSettings,
) -> None:
    network = make_network(network_name).eval()
    groups = find_cuttable_groups(network, example, settings)
    silence_channels(network, groups, keep_every=2)
    expected = network(example)

    cut = copy.deepcopy(network)
    cut_to(cut, example=example, widths=plan_widths(groups, 0.5, settings), settings=settings)

    torch.testing.assert_close(cut(example), expected)
    counts = [sum(p.numel() for p in model.parameters()) for model in (cut, network)]
    assert counts[0] < 0.6 * counts[1]


def test_all_widths_are_reached(
    make_network: Callable[[str], nn.Module],
    network_name: str,
    example: torch.Tensor,
    settings: PruneSettings,
) -> None:
    network = make_network(network_name)
    widths = plan_widths(find_cuttable_groups(network, example, settings), 0.25, settings)

    cut_to(network, example=example, widths=widths, settings=settings)

    left = {group.root: group.width for group in find_cuttable_groups(network, example, settings)}
    assert left == widths


def test_cut_model_can_be_trained(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("residual").train()
    widths = plan_widths(find_cuttable_groups(network, example, settings), 0.5, settings)
    cut_to(network, example=example, widths=widths, settings=settings)

    assert network.training
    network(example).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_frozen_parameters_stay_frozen(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("plain")
    network.get_parameter("3.bias").requires_grad = False
    widths = plan_widths(find_cuttable_groups(network, example, settings), 0.5, settings)
    cut_to(network, example=example, widths=widths, settings=settings)

    assert not network.get_parameter("3.bias").requires_grad
    assert network.get_parameter("3.weight").requires_grad


def test_ignored_layer_keeps_its_outputs_and_those_coupled_with_them(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("residual")
    kept = dataclasses.replace(settings, ignore_layers=("conv2",))
    widths = plan_widths(find_cuttable_groups(network, example, kept), 0.5, kept)
    cut_to(network, example=example, widths=widths, settings=kept)

    shapes = {
        name.removeprefix("network.").removesuffix(".weight"): tuple(weight.shape[:2])
        for name, weight in network.named_parameters()
        if weight.dim() > 1
    }
    assert shapes == {"stem": (16, 1), "conv1": (8, 16), "conv2": (16, 8), "fc": (5, 16)}


def test_plan_changes_nothing(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("residual")
    before = copy.deepcopy(network.state_dict())
    groups = find_cuttable_groups(network, example, settings)
    plan_cuts(network, groups, plan_widths(groups, 0.5, settings), settings.importance)

    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_equal_scores_are_decided_by_position(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("mlp")
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    groups = find_cuttable_groups(network, example, settings)
    cuts = plan_cuts(network, groups, plan_widths(groups, 0.5, settings), settings.importance)

    assert [cut.kept for cut in cuts] == [tuple(range(16, 32))] * 2


def test_model_without_a_layer_to_cut_is_a_user_error(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    with pytest.raises(UserError, match="no layer that can be cut"):
        find_cuttable_groups(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), example, settings)


def test_code_that_relies_on_a_width_is_a_user_error(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    class FixedWidthNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 1)
            self.fc = nn.Linear(8, 5)

        @override
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.fc(self.conv(images).mean(dim=(2, 3)) * torch.ones(8))
            return output

    network = FixedWidthNet()
    widths = plan_widths(find_cuttable_groups(network, example, settings), 0.5, settings)
    with pytest.raises(UserError, match=r"does not run after pruning.*prune\.ignoreLayers"):
        cut_to(network, example=example, widths=widths, settings=settings)
