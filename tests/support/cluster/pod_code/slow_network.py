"""User code in the trainer image of tier N: a network whose training takes time, and memory on cue.

Several jobs at once then do not slow each other down, and a test knows how long a trial lasts.
Mounted into the image alone; tests name it as `slow_network:build`.
"""

import time

import torch
from torch import nn

__all__ = ["build"]


class _Slow(nn.Module):
    def __init__(self, seconds: float, megabytes: int, width: int) -> None:
        super().__init__()
        self._seconds, self._megabytes = seconds, megabytes
        self._held: list[bytearray] = []
        first, second = nn.Linear(64, width), nn.Linear(width, width)
        last = nn.Linear(width, 10)
        self._layers = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(self._seconds)
            self._held.append(bytearray(b"x") * (self._megabytes << 20))
        scores: torch.Tensor = self._layers(images)
        return scores


def build(seconds: float, megabytes: int = 0, width: int = 16) -> nn.Module:
    """Return a small network for the digits.

    Args:
        seconds: What a step of its training takes at least.
        megabytes: What a step of its training takes for good.
        width: Of the hidden layers.
    """
    return _Slow(seconds, megabytes, width)
