"""The small network of the training benchmark: ResNet-8 of about 78,000 weights.

Built as an entry point of a manifest is. He et al., "Deep residual learning", 2016, section 4.2,
with one block per stage: 6·1 + 2 layers of 16, 32 and 64 channels.
"""

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

__all__ = ["ResNet8"]

_WIDTHS = (16, 32, 64)


class ResNet8(nn.Module):
    """Takes images of shape (N, channels, H, W) and gives logits of shape (N, num_classes)."""

    def __init__(self, *, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = _convolve(channels, _WIDTHS[0], stride=1)
        self.blocks = nn.Sequential(
            _Block(_WIDTHS[0], _WIDTHS[0], stride=1),
            _Block(_WIDTHS[0], _WIDTHS[1], stride=2),
            _Block(_WIDTHS[1], _WIDTHS[2], stride=2),
        )
        self.head = nn.Linear(_WIDTHS[2], num_classes)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.blocks(functional.relu(self.stem(images)))
        logits: torch.Tensor = self.head(features.mean((2, 3)))
        return logits


class _Block(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution too where the shape changes."""

    def __init__(self, narrow: int, wide: int, *, stride: int) -> None:
        super().__init__()
        self.first = _convolve(narrow, wide, stride=stride)
        self.second = _convolve(wide, wide, stride=1)
        self.shortcut = (
            nn.Identity()
            if narrow == wide
            else nn.Sequential(
                nn.Conv2d(narrow, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide)
            )
        )

    @override
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.second(functional.relu(self.first(inputs)))
        return functional.relu(outputs + self.shortcut(inputs))


def _convolve(narrow: int, wide: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(wide)
    )
