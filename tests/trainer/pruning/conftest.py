"""Small networks of every shape that pruning has to follow, built anew and alike at each call."""

import functools
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn
from typing_extensions import override

from trimtab_api.v1alpha1.prune import Allocation, Granularity, Importance
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.groups import ChannelGroup


class ResidualNet(nn.Module):
    """A stem, one residual block and a head, under the prefix of a wrapped network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.ModuleDict(
            {
                "stem": nn.Conv2d(1, 16, 3, padding=1),
                "conv1": nn.Conv2d(16, 16, 3, padding=1, bias=False),
                "bn1": nn.BatchNorm2d(16),
                "conv2": nn.Conv2d(16, 16, 3, padding=1, bias=False),
                "bn2": nn.BatchNorm2d(16),
                "fc": nn.Linear(16, 5),
            }
        )

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        net = self.network
        stem = net["stem"](images)
        inner = net["bn1"](net["conv1"](stem)).relu()
        joined = (stem + net["bn2"](net["conv2"](inner))).relu()
        output: torch.Tensor = net["fc"](joined.mean(dim=(2, 3)))
        return output


class ConcatNet(nn.Module):
    """Two branches whose channels are joined side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 8, 3, padding=1)
        self.right = nn.Conv2d(1, 16, 1)
        self.head = nn.Conv2d(24, 8, 1)
        self.fc = nn.Linear(8, 5)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.left(images).relu(), self.right(images).relu()], dim=1)
        output: torch.Tensor = self.fc(self.head(joined).relu().mean(dim=(2, 3)))
        return output


class GatedNet(nn.Module):
    """A layer around itself, squeeze-and-excitation, then two halves of which one gates the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 1)
        self.mix = nn.Conv2d(12, 12, 1)
        self.squeeze = nn.Conv2d(12, 6, 1)
        self.excite = nn.Conv2d(6, 12, 1)
        self.scale = nn.Parameter(torch.rand(12, 1, 1))
        self.halves = nn.Linear(12, 16)
        self.fc = nn.Linear(8, 5)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stem = self.stem(images)
        stem = stem + self.mix(stem).relu()
        attention = self.excite(self.squeeze(stem.mean((2, 3), keepdim=True)).relu()).sigmoid()
        pooled = (stem * attention * self.scale).amax(dim=(2, 3))
        value, gate = self.halves(pooled).chunk(2, dim=1)
        output: torch.Tensor = self.fc(value * gate.sigmoid())
        return output


class AttentionNet(nn.Module):
    """Patches with learned places, one attention block and one MLP, both residual."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 12, 4, stride=4)
        self.places = nn.Parameter(torch.rand(1, 4, 12))
        self.attention = nn.MultiheadAttention(12, 4, batch_first=True)
        self.widen = nn.Linear(12, 24)
        self.narrow = nn.Linear(24, 12)
        self.fc = nn.Linear(48, 5)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.places
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        tokens = tokens + self.narrow(nn.functional.gelu(self.widen(tokens)))
        output: torch.Tensor = self.fc(tokens.flatten(1))
        return output


def make_grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 1),
        nn.GroupNorm(8, 16),
        nn.Conv2d(16, 32, 3, padding=1, groups=4),
        nn.PReLU(32),
        nn.ConvTranspose2d(32, 16, 2, stride=2, groups=4),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def make_plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def make_flattened() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 16, 32),
        nn.ReLU(),
        nn.Linear(32, 5),
    )


def make_depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 1),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def make_transposed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ConvTranspose2d(16, 8, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def make_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))


BUILDERS: Mapping[str, Callable[[], nn.Module]] = {
    "plain": make_plain,
    "flattened": make_flattened,
    "depthwise": make_depthwise,
    "transposed": make_transposed,
    "mlp": make_mlp,
    "residual": ResidualNet,
    "grouped": make_grouped,
    "gated": GatedNet,
    "attention": AttentionNet,
    "concat": ConcatNet,
}


def build_network(name: str) -> nn.Module:
    """Build a network by its name, with the same weights every time, none of them neutral."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = BUILDERS[name]()
        for layer in network.modules():
            if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.uniform_(layer.bias, -0.5, 0.5)
            if isinstance(layer, nn.MultiheadAttention):
                nn.init.uniform_(layer.in_proj_bias, -0.5, 0.5)
    return network


@pytest.fixture(name="make_network")
def make_network_fixture() -> Callable[[str], nn.Module]:
    """Return what builds a network by its name."""
    return build_network


@functools.cache
def trace_network(name: str) -> tuple[ChannelGroup, ...]:
    """Find the groups of a network by its name, once for all tests."""
    return find_groups(build_network(name), torch.rand(2, 1, 8, 8))


@pytest.fixture(name="find_network_groups")
def find_network_groups_fixture() -> Callable[[str], tuple[ChannelGroup, ...]]:
    """Return what finds the groups of a network by its name."""
    return trace_network


@pytest.fixture(params=sorted(BUILDERS))
def network_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def example() -> torch.Tensor:
    return torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def settings() -> PruneSettings:
    return PruneSettings(
        importance=Importance.L2,
        allocation=Allocation.UNIFORM,
        granularity=Granularity.STRUCTURES,
        ignore_layers=(),
        layer_ratios={},
        max_layer_ratio=0.8,
        round_to=1,
        seed=0,
    )
