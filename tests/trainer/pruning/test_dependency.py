"""Groups hold all tensors that share channels, and only groups that may be cut are found."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from typing_extensions import override

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.groups import ChannelGroup, GroupKind

FindGroups = Callable[[str], tuple[ChannelGroup, ...]]


def find_roots(model: nn.Module, example: torch.Tensor) -> list[str]:
    return [group.root for group in find_groups(model, example)]


class Around(nn.Module):
    """A convolution of 8 channels, an operation, and layers that can be cut in any case."""

    def __init__(self, operation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.operation = operation
        self.before = nn.Conv2d(1, 8, 1)
        self.after = nn.LazyConv2d(6, 1)
        self.fc = nn.LazyLinear(5)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = self.operation(self.before(images))
        output: torch.Tensor = self.fc(self.after(inner).flatten(1))
        return output


def test_residual_add_couples_both_its_branches(find_network_groups: FindGroups) -> None:
    joined, inner = find_network_groups("residual")

    assert joined.producers == ("network.stem", "network.conv2")
    assert {(member.tensor, member.dimension) for member in joined.members} == {
        ("network.stem.weight", 0),
        ("network.stem.bias", 0),
        ("network.conv1.weight", 1),
        ("network.conv2.weight", 0),
        ("network.bn2.weight", 0),
        ("network.bn2.bias", 0),
        ("network.bn2.running_mean", 0),
        ("network.bn2.running_var", 0),
        ("network.fc.weight", 1),
    }
    assert (inner.root, inner.width, inner.kind) == ("network.conv1", 16, GroupKind.FILTERS)


def test_flattened_feature_map_gives_each_channel_all_its_positions(
    find_network_groups: FindGroups,
) -> None:
    group = find_network_groups("flattened")[0]

    linear = next(member for member in group.members if member.tensor == "4.weight")
    assert linear.positions == tuple(range(8 * 16))
    assert linear.channels == tuple(position // 16 for position in range(8 * 16))


def test_joined_maps_keep_their_channels_apart(find_network_groups: FindGroups) -> None:
    left, right, _ = find_network_groups("concat")

    heads = [
        member.positions
        for group in (left, right)
        for member in group.members
        if member.tensor == "head.weight"
    ]
    assert (left.root, right.root) == ("left", "right")
    assert heads == [tuple(range(8)), tuple(range(8, 24))]


def test_group_of_a_convolution_is_one_unit_from_its_inputs_to_its_outputs(
    find_network_groups: FindGroups,
) -> None:
    group = find_network_groups("grouped")[0]

    channels = {member.tensor: member.channels for member in group.members}
    assert (group.root, group.width, group.unit_size) == ("0", 4, 4)
    assert group.producers == ("0", "2", "4")
    assert channels["0.weight"] == tuple(position // 4 for position in range(16))
    assert channels["2.weight"] == tuple(position // 8 for position in range(32))
    assert channels["6.weight"] == tuple(position // 4 for position in range(16))


def test_halves_of_a_layer_lose_the_same_positions(find_network_groups: FindGroups) -> None:
    group = next(group for group in find_network_groups("gated") if group.root == "halves")

    assert group.width == 8
    assert group.members[0].channels == tuple(range(8)) * 2


def test_attention_head_is_one_unit_with_its_rows_and_columns(
    find_network_groups: FindGroups,
) -> None:
    groups = {group.root: group for group in find_network_groups("attention")}

    heads = groups["attention"]
    assert (heads.kind, heads.width, heads.unit_size) == (GroupKind.NEURONS, 4, 3)
    rows = tuple(position // 3 for position in range(12))
    assert {member.tensor: member.channels for member in heads.members} == {
        "attention.in_proj_weight": rows * 3,
        "attention.in_proj_bias": rows * 3,
        "attention.out_proj.weight": rows,
    }
    assert groups["embed"].producers == ("embed", "attention.out_proj", "narrow")


def test_output_layer_keeps_its_outputs(
    make_network: Callable[[str], nn.Module], find_network_groups: FindGroups, network_name: str
) -> None:
    output_layer = [name for name, _ in make_network(network_name).named_modules()][-1]

    producers = [name for group in find_network_groups(network_name) for name in group.producers]

    assert producers
    assert output_layer not in producers


@pytest.mark.parametrize(
    "operation",
    [
        lambda maps: maps.reshape(2, 4, 16, 8),
        lambda maps: maps.softmax(dim=1),
        lambda maps: maps - maps.mean(dim=1, keepdim=True),
        lambda maps: maps * torch.linspace(0, 1, 8).view(8, 1, 1),
        lambda maps: maps[:, ::2],
        lambda maps: maps.flip(1),
        lambda maps: maps.sort(dim=1).values,
        lambda maps: maps.cumsum(dim=1),
        lambda maps: maps.split([3, 5], dim=1)[1],
        lambda maps: nn.functional.pad(maps, (0, 0, 0, 0, 1, 1)),
        lambda maps: nn.functional.pixel_shuffle(maps, 2),
        lambda maps: nn.functional.layer_norm(maps, (8, 8, 8)),
        lambda maps: torch.einsum("nchw,ndhw->nchw", maps, maps),
        lambda maps: maps.transpose(1, 2),
        lambda maps: (
            torch.cat([maps, maps.new_zeros(2, 3, 8, 8)], dim=1) + torch.zeros(1, 11, 1, 1)
        ),
    ],
)
def test_channels_that_are_taken_apart_or_not_understood_stay_whole(
    example: torch.Tensor, operation: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    model = Around(operation)
    model(example)

    assert find_roots(model, example) == ["after"]


@pytest.mark.parametrize(
    "operation",
    [
        lambda maps: maps.view(2, 8, 64).view(2, 8, 4, 16),
        lambda maps: maps.permute(0, 2, 3, 1).roll(1, dims=1).permute(0, 3, 1, 2),
        lambda maps: maps.flatten(2).unsqueeze(1).squeeze(1).unflatten(2, (8, 8)),
        lambda maps: maps.softmax(dim=2).amax(dim=3, keepdim=True).expand(2, 8, 8, 8),
        lambda maps: torch.cat([maps, maps.new_zeros(2, 3, 8, 8)], dim=1),
        lambda maps: torch.stack(maps.chunk(2, dim=1)).sum(dim=0),
        lambda maps: nn.functional.interpolate(maps, scale_factor=2.0, mode="bilinear"),
        lambda maps: nn.functional.pad(nn.functional.avg_pool2d(maps, 2), (1, 1)),
        lambda maps: torch.where(maps > 0, maps, maps.exp() - 1),
        lambda maps: nn.functional.hardswish(maps.clone().mul_(2)),
        lambda maps: maps[:, :, 1:, 0].unsqueeze(3),
    ],
)
def test_channels_are_followed_through_what_keeps_them_whole(
    example: torch.Tensor, operation: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    model = Around(operation)
    model(example)

    assert find_roots(model, example) == ["before", "after"]


def test_channels_that_reach_the_output_through_an_operation_are_left_out(
    example: torch.Tensor,
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 5), nn.LogSoftmax(dim=1))

    assert find_roots(model, example) == ["1"]


@pytest.mark.parametrize("norm", [nn.LayerNorm(16), nn.RMSNorm(16)], ids=["layer", "rms"])
def test_norm_over_channels_is_cut_with_them(norm: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 16), norm, nn.Linear(16, 5))

    [group] = find_groups(model, torch.rand(2, 4))

    assert ("1.weight", 0) in {(member.tensor, member.dimension) for member in group.members}


@pytest.mark.parametrize(
    "norm",
    [nn.LayerNorm(16, elementwise_affine=False), nn.BatchNorm1d(16, affine=False, track_running_stats=False)],
    ids=["layer", "batch"],
)  # fmt: skip
def test_norm_that_holds_its_width_as_a_number_stays_whole(norm: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 16), norm, nn.Linear(16, 8), nn.Linear(8, 5))

    assert find_roots(model, torch.rand(2, 4)) == ["2"]


def test_weights_that_two_layers_share_stay_whole() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 6), nn.Linear(6, 5))
    model[1].weight = model[0].weight

    assert find_roots(model, torch.rand(2, 8)) == ["2"]


def test_layer_that_runs_twice_is_cut_once() -> None:
    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 8)
            self.inner = nn.Linear(8, 8)
            self.alias = self.inner
            self.fc = nn.Linear(8, 5)

        @override
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.fc(self.alias(self.inner(self.first(inputs))))
            return output

    [group] = find_groups(Repeated(), torch.rand(2, 4))

    assert group.producers == ("first", "inner")
    assert [member.dimension for member in group.members if "inner.weight" in member.tensor] == [
        0,
        1,
    ]


def test_parametrized_layer_stays_whole() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 6), nn.Linear(6, 5))
    parametrizations.weight_norm(model[0])

    assert find_roots(model, torch.rand(2, 4)) == ["1"]


def test_layer_with_several_groups_numbers_them() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = nn.Linear(4, 10)
            self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 6)
            self.fc = nn.Linear(10, 5)

        @override
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            both = self.both(inputs)
            parts = torch.cat([self.left(inputs), self.right(inputs)], dim=1)
            output: torch.Tensor = self.fc(both + parts)
            return output

    groups = find_groups(Forked(), torch.rand(2, 4))

    assert [(group.root, group.width, group.producers) for group in groups] == [
        ("both", 4, ("both", "left")),
        ("both#2", 6, ("both", "right")),
    ]


def test_encoder_layer_of_torch_is_cut_with_its_heads() -> None:
    layer = nn.TransformerEncoderLayer(8, 4, 16, batch_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = find_groups(
            nn.Sequential(nn.Linear(3, 8), layer, nn.Flatten(), nn.Linear(32, 5)),
            torch.rand(2, 4, 3),
        )

    assert [group.root for group in groups] == ["0", "1.self_attn", "1.linear1"]


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
    with pytest.raises(UserError, match=r"input shape \(2, 3, 8, 8\).*[Ee]xpected"):
        find_groups(make_network("plain"), torch.zeros(2, 3, 8, 8))


def test_model_whose_code_depends_on_values_is_a_user_error() -> None:
    class Branching(nn.Linear):
        @override
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if inputs.sum() > 0:
                return super().forward(inputs)
            return inputs

    with pytest.raises(UserError, match="cannot be traced for pruning"):
        find_groups(Branching(4, 4), torch.rand(2, 4))
