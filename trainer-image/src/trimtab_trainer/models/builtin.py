"""The built-in networks by name: `mlp`, `small-cnn` and torchvision's classification networks.

Called by the catalog. Networks take normalized images; `image_input` does what comes before.
"""

import difflib
import importlib
import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from trimtab_trainer.data._base import ImageFormat
from trimtab_trainer.data.user_code import blame_user_code
from trimtab_trainer.errors import UserError

__all__ = ["Mlp", "SmallCnn", "build_network", "network_channels"]

_TORCHVISION = "torchvision/"
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
    return _RGB if name.startswith(_TORCHVISION) else image.channels


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
    if name.startswith(_TORCHVISION):
        return _build_torchvision(name.removeprefix(_TORCHVISION), classes, own)
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


def _build_torchvision(name: str, num_classes: int, args: Mapping[str, Any]) -> nn.Module:
    # Imported here because it takes seconds, in every worker, and many runs do not need it.
    models = importlib.import_module("torchvision.models")
    names = models.list_models(module=models)
    if name not in names:
        near = difflib.get_close_matches(name, names) or names[:3]
        raise UserError(
            f"model.builtin must name a classification network of torchvision but got {name!r};"
            f" near: {', '.join(near)}"
        )
    with blame_user_code(f"torchvision/{name}", None):
        network = models.get_model(name, weights=None, num_classes=num_classes, **args)
    if not isinstance(network, nn.Module):
        raise TypeError(f"torchvision.models.{name} returned {type(network).__name__}")
    return network
