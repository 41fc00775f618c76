"""The user's side of the example: a network that tells the frequency of a noisy wave.

Nothing here knows Trimtab: a function that builds a torch module, one that returns map-style data
sets, and a class with `loss` and `metrics`.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

POINTS = 64


def build_network(width: int) -> nn.Module:
    """Return a small 1-d convolutional network: (N, 1, 64) → (N, 1)."""
    return nn.Sequential(
        nn.Conv1d(1, width, 7, stride=2, padding=3),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Conv1d(width, width, 5, stride=2, padding=2),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(4 * width, 1),
    )


def make_data(samples: int, noise: float) -> dict[str, TensorDataset]:
    """Return waves of 1 to 8 Hz under noise, with their frequencies as targets."""
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> TensorDataset:
        hertz = 1 + 7 * torch.rand(count, 1, generator=generator)
        phase = 6.28 * torch.rand(count, 1, generator=generator)
        time = torch.linspace(0, 1, POINTS)
        waves = torch.sin(6.28 * hertz * time + phase)
        waves = waves + noise * torch.randn(count, POINTS, generator=generator)
        return TensorDataset(waves.unsqueeze(1), hertz)

    return {"train": draw(samples), "validation": draw(samples // 4), "test": draw(samples // 4)}


class FrequencyTask:
    """Regression: squared error to train on, mean absolute error in Hz to judge by."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error."""
        return nn.functional.mse_loss(output, target)

    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
        """Return the mean absolute error in Hz."""
        return {"error": float((output - target).abs().mean())}
