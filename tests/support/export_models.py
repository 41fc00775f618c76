"""Networks to export: one that has what real ones have, and ones that cannot be exported."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from typing_extensions import override

__all__ = ["NormalizedNet", "make_failing", "make_net", "raise_key_error"]


class NormalizedNet(nn.Module):
    """Grey images of 6×6, expanded and normalized, to four scores."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor([0.2]).view(1, 1, 1, 1))
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(8 * 36, 4),
        )

    @override
    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.network((images.expand(-1, 3, -1, -1) - self.mean) / 0.3)
        return output


class Calling(nn.Module):
    """A module that does what a function does."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    @override
    def forward(self, values: Tensor) -> object:
        return self.function(values)


def make_net() -> NormalizedNet:
    """Return the same network at every call, in training mode, its statistics not 0 and 1."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NormalizedNet()
        net(torch.rand(16, 1, 6, 6))
    return net


def make_failing(function: Callable[[Tensor], object]) -> nn.Module:
    """Return a network on four features whose module 1.0 does what the function does."""
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(Calling(function)))


def raise_key_error(values: Tensor) -> Tensor:
    """Fail as code of users does."""
    raise KeyError("of the user")
