"""The built-in networks by name: `mlp`, `small-cnn` and torchvision's classification networks.

Called by the catalog. Networks take normalized images; `image_input` does what comes before.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from trimtab_trainer.data._base import ImageFormat
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.torchvision_networks import (
    TORCHVISION,
    build_torchvision,
    find_size_rule,
)

__all__ = ["Mlp", "SmallCnn", "build_network", "choose_size", "network_channels"]

_RGB = 3


class Mlp(nn.Module):
    """Fully connected layers with ReLU between them, over the flattened input."""

    def __init__(
        self, *, features: int, num_classes: int, width: int = 128, depth: int = 2
    ) -> None:
        super().__init__()
        widths = [features, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.activation = nn.ReLU()
        self.head = nn.Linear(width, num_classes)

    @override
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = inputs.flatten(1)
        for layer in self.hidden:
            outputs = self.activation(layer(outputs))
        logits: torch.Tensor = self.head(outputs)
        return logits


class SmallCnn(nn.Module):
    """Blocks of convolution, batch normalization and ReLU, each twice as wide at half the size."""

    def __init__(
        self, *, channels: int, size: int, num_classes: int, width: int = 32, depth: int = 3
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for index in range(depth):
            wide = width * 2**index
            blocks.append(_conv_block(channels, wide))
            if index < depth - 1 and size > 1:
                blocks.append(nn.MaxPool2d(2))
                size //= 2
            channels = wide
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    @override
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.pool(self.blocks(inputs)).flatten(1))
        return logits


def network_channels(name: str, image: ImageFormat) -> int:
    """Return how many channels the network takes: torchvision's are made for colour."""
    return _RGB if name.startswith(TORCHVISION) else image.channels


def choose_size(name: str, *, own: ImageFormat, wanted: int | None) -> int | None:
    """Return the height and width that a built-in network works at; None keeps the images' own.

    Args:
        name: As in `model.builtin`.
        own: The images as they are.
        wanted: `dataset.imageSize`; where absent, images that are too small are enlarged to the
            smallest size that the network takes.

    Raises:
        UserError: The network does not take the size that is wanted.
    """
    rule = find_size_rule(name)
    if wanted is None:
        return None if rule.allows(own.height, own.width) else rule.fit(max(own.height, own.width))
    if not rule.allows(wanted, wanted):
        multiple = f" and a multiple of {rule.step}" if rule.step > 1 else ""
        raise UserError(
            f"dataset.imageSize must be at least {rule.smallest}{multiple} for {name} but is"
            f" {wanted}"
        )
    return wanted


def build_network(
    name: str, *, image: ImageFormat, num_classes: int | None, args: Mapping[str, Any]
) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    Args:
        name: `mlp`, `small-cnn` or `torchvision/<name>`.
        image: Size of what the network will be given, resized already.
        num_classes: The data set's; `args` may name more.
        args: `num_classes` for all; `width` and `depth` of `mlp` and `small-cnn`; keyword
            arguments of the constructor for torchvision's.

    Raises:
        UserError: There is no such network or argument, or a value that it refuses.
    """
    classes = _count_classes(args, num_classes)
    own = {key: value for key, value in args.items() if key != "num_classes"}
    if name.startswith(TORCHVISION):
        short = name.removeprefix(TORCHVISION)
        return build_torchvision(short, size=image.height, num_classes=classes, args=own)
    sizes = _check_sizes(name, own)
    if name == "mlp":
        features = image.channels * image.height * image.width
        return Mlp(features=features, num_classes=classes, **sizes)
    if name == "small-cnn":
        size = min(image.height, image.width)
        return SmallCnn(channels=image.channels, size=size, num_classes=classes, **sizes)
    raise UserError(f"model.builtin must be mlp, small-cnn or torchvision/<name> but got {name!r}")


def _conv_block(channels: int, width: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


def _count_classes(args: Mapping[str, Any], of_data: int | None) -> int:
    given = args.get("num_classes", of_data)
    if given is None:
        raise UserError("model.args.num_classes must be set: the data set has no class labels")
    fewest = of_data or 1
    if not _is_count(given) or given < fewest:
        raise UserError(
            f"model.args.num_classes must be an integer of at least {fewest} but got {given!r}"
        )
    return int(given)


def _check_sizes(name: str, args: Mapping[str, Any]) -> dict[str, int]:
    for key, value in args.items():
        if key not in ("width", "depth"):
            raise UserError(f"model.args of {name} must be num_classes, width, depth but got {key}")
        if not _is_count(value) or value < 1:
            raise UserError(f"model.args.{key} must be an integer of at least 1 but got {value!r}")
    return dict(args)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
