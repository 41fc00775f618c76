"""User code in the trainer image of tier N: a network whose training takes time but no cores.

Several jobs at once then do not slow each other down, and a test knows how long a trial lasts.
Mounted into the image alone; tests name it as `slow_network:build`.
"""

import time

import torch
from torch import nn

__all__ = ["build"]


class _Slow(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(self._seconds)
        scores: torch.Tensor = self._layers(images)
        return scores


def build(seconds: float) -> nn.Module:
    """Return a small network for the digits.

    Args:
        seconds: What a step of its training takes at least.
    """
    return _Slow(seconds)
