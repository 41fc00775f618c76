"""A cut removes the units with the lowest scores from all tensors that hold them, and nothing else."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import nn
from typing_extensions import override

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.cuts import replay_cuts
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    find_cuttable_groups,
    plan_cuts,
    shrink_groups,
)
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.groups import ChannelGroup, GroupKind, Member


def is_read(model: nn.Module, member: Member) -> bool:
    """Tell whether units are read by this member; else it makes or scales them."""
    owner, _, name = member.tensor.rpartition(".")
    inputs = int(not isinstance(model.get_submodule(owner), nn.ConvTranspose2d))
    weight = model.state_dict()[member.tensor]
    return name.endswith("weight") and weight.dim() > 1 and member.dimension == inputs


def silence(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    gone: Mapping[str, Sequence[int]],
    *,
    outputs: bool,
) -> None:
    """Zero what makes some units, or what reads them."""
    tensors = model.state_dict()
    for group in groups:
        for member in group.members:
            if is_read(model, member) is not outputs:
                positions = [
                    position
                    for position, unit in zip(member.positions, member.channels, strict=True)
                    if unit in gone[group.root]
                ]
                index = torch.tensor(positions, dtype=torch.int64)
                tensors[member.tensor].index_fill_(member.dimension, index, 0)


def draw_scores(groups: Sequence[ChannelGroup]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {group.root: torch.rand(group.width, generator=generator) for group in groups}


def halve(groups: Sequence[ChannelGroup]) -> dict[str, int]:
    return {group.root: group.width - group.width // 2 for group in groups}


@pytest.mark.parametrize("outputs", [True, False], ids=["not made", "not read"])
def test_cut_model_computes_what_the_dense_one_does_without_the_units(
    make_network: Callable[[str], nn.Module],
    find_network_groups: Callable[[str], tuple[ChannelGroup, ...]],
    network_name: str,
    example: torch.Tensor,
    outputs: bool,
) -> None:
    network, groups = make_network(network_name).eval(), find_network_groups(network_name)
    scores, widths = draw_scores(groups), halve(groups)
    cut = copy.deepcopy(network)
    replay_cuts(cut, plan_cuts(network, groups, widths, scores))

    gone = {
        group.root: scores[group.root].argsort()[: group.width // 2].tolist() for group in groups
    }
    dense = network(example)
    silence(network, groups, gone, outputs=outputs)

    torch.testing.assert_close(cut(example), network(example))
    assert not torch.allclose(cut(example), dense)
    counts = [sum(p.numel() for p in model.parameters()) for model in (cut, network)]
    assert counts[0] < 0.65 * counts[1]


@pytest.mark.parametrize("name", ["concat", "flattened", "grouped", "gated", "attention"])
def test_groups_are_followed_through_a_cut_without_a_trace(
    make_network: Callable[[str], nn.Module],
    find_network_groups: Callable[[str], tuple[ChannelGroup, ...]],
    name: str,
    example: torch.Tensor,
) -> None:
    network, groups = make_network(name), find_network_groups(name)
    cuts = plan_cuts(network, groups, halve(groups), draw_scores(groups))
    replay_cuts(network, cuts)

    followed = shrink_groups(groups, cuts)

    assert {group.root: group.width for group in followed} == halve(groups)
    assert followed == find_groups(network, example)


def test_cut_model_can_be_trained(
    make_network: Callable[[str], nn.Module],
    find_network_groups: Callable[[str], tuple[ChannelGroup, ...]],
    network_name: str,
    example: torch.Tensor,
) -> None:
    network, groups = make_network(network_name).train(), find_network_groups(network_name)
    replay_cuts(network, plan_cuts(network, groups, halve(groups), draw_scores(groups)))

    assert all(module.training for module in network.modules())
    network(example).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_frozen_parameters_stay_frozen(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("plain")
    network.get_parameter("3.bias").requires_grad = False
    groups = find_cuttable_groups(network, example, settings)
    replay_cuts(network, plan_cuts(network, groups, halve(groups), draw_scores(groups)))

    assert not network.get_parameter("3.bias").requires_grad
    assert network.get_parameter("3.weight").requires_grad


def test_lowest_scores_go_and_equal_ones_by_position(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("mlp")
    groups = find_cuttable_groups(network, example, settings)
    scores = torch.ones(32)
    scores[30] = 0

    cuts = plan_cuts(network, groups, {"1": 30}, {"1": scores})

    assert {cut.kept for cut in cuts} == {(*range(1, 30), 31)}
    assert {(cut.tensor, cut.dimension) for cut in cuts} == {
        ("1.weight", 0),
        ("1.bias", 0),
        ("3.weight", 1),
    }


def test_search_and_plan_change_nothing(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    network = make_network("attention").train()
    before = copy.deepcopy(network.state_dict())
    groups = find_cuttable_groups(network, example, settings)
    plan_cuts(network, groups, halve(groups), draw_scores(groups))

    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert all(module.training for module in network.modules())
    assert isinstance(network.get_submodule("attention"), nn.MultiheadAttention)


def test_ignored_layer_keeps_its_outputs_and_those_coupled_with_them(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    kept = dataclasses.replace(settings, ignore_layers=("conv2",))

    groups = find_cuttable_groups(make_network("residual"), example, kept)

    assert [group.root for group in groups] == ["network.conv1"]


@pytest.mark.parametrize(
    ("granularity", "roots"),
    [
        (Granularity.NEURONS, ["attention", "widen"]),
        (Granularity.FILTERS, ["embed"]),
        (Granularity.STRUCTURES, ["embed", "attention", "widen"]),
    ],
)
def test_granularity_says_which_groups_are_cut(
    make_network: Callable[[str], nn.Module],
    example: torch.Tensor,
    settings: PruneSettings,
    granularity: Granularity,
    roots: Sequence[str],
) -> None:
    groups = find_cuttable_groups(
        make_network("attention"), example, dataclasses.replace(settings, granularity=granularity)
    )

    assert [group.root for group in groups] == roots


@pytest.mark.parametrize(
    ("granularity", "ignored"),
    [(Granularity.STRUCTURES, ("1",)), (Granularity.FILTERS, ())],
)
def test_f66_model_without_a_layer_to_cut_is_a_user_error(
    make_network: Callable[[str], nn.Module],
    example: torch.Tensor,
    settings: PruneSettings,
    granularity: Granularity,
    ignored: tuple[str, ...],
) -> None:
    asked = dataclasses.replace(settings, granularity=granularity, ignore_layers=ignored)

    with pytest.raises(UserError, match=rf"no layer that can be cut.*{granularity}"):
        find_cuttable_groups(make_network("mlp"), example, asked)


def test_f66_pattern_that_matches_no_layer_is_a_user_error(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    with pytest.raises(UserError, match=r"ignoreLayers: 'convv2'.*conv2"):
        find_cuttable_groups(
            make_network("residual"),
            example,
            dataclasses.replace(settings, ignore_layers=("convv2",)),
        )


class FixedWidthNet(nn.Module):
    """Code that knows the width of its first layer, but not those of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 1)
        self.second = nn.Conv2d(8, 8, 1)
        self.third = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 5)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = self.first(images).reshape(len(images), 8, 64).reshape(len(images), 8, 8, 8)
        output: torch.Tensor = self.fc(self.third(self.second(inner)).mean(dim=(2, 3)))
        return output


def test_layers_whose_width_the_code_relies_on_are_left_out(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    groups = find_cuttable_groups(FixedWidthNet(), example, settings)

    assert [group.root for group in groups] == ["second", "third"]


def test_code_that_needs_real_tensors_is_tried_with_them(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    class ShiftedNet(FixedWidthNet):
        @override
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images + torch.ones(8, device="cpu"))

    groups = find_cuttable_groups(ShiftedNet(), example, settings)

    assert [group.root for group in groups] == ["second", "third"]


def test_widths_that_are_never_asked_for_are_not_tried(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    class EvenNet(nn.Sequential):
        @override
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            inner = self[0](images)
            if inner.shape[1] % 4:
                raise ValueError("width must be a multiple of 4")
            output: torch.Tensor = self[1](inner.mean(dim=(2, 3)))
            return output

    network = EvenNet(nn.Conv2d(1, 16, 1), nn.Linear(16, 5))
    rounded = dataclasses.replace(settings, round_to=8)

    assert [group.root for group in find_cuttable_groups(network, example, rounded)] == ["0"]
    with pytest.raises(UserError, match="when any of 1 more is narrower"):
        find_cuttable_groups(network, example, settings)


def test_units_are_rounded_so_that_channels_are_multiples() -> None:
    group = ChannelGroup("conv", GroupKind.FILTERS, 32, members=(), unit_size=24)

    assert [group.step(round_to) for round_to in (1, 8, 16, 64)] == [1, 1, 2, 8]
