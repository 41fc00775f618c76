"""Where a layer keeps its channels: which tensors, along which dimension, and how to narrow them.

Used by `dependency` (may this layer be cut), `importance` (weights of a channel) and `cuts`
(removal). Knows single layers only; what belongs together across layers is `dependency`'s.
"""

from collections.abc import Mapping
from enum import StrEnum

import torch
from torch import nn
from torch.nn.utils import parametrize

__all__ = [
    "Direction",
    "channel_count",
    "channel_dimensions",
    "has_cuttable_channels",
    "narrow_layer",
]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PER_CHANNEL = {"weight": 0, "bias": 0, "running_mean": 0, "running_var": 0}


class Direction(StrEnum):
    """The side of a layer that loses channels.

    A layer whose output channel n comes from input channel n alone (batch norm, depthwise
    convolution) has one set of channels, which counts as its output.
    """

    INPUT = "input"
    OUTPUT = "output"


def has_cuttable_channels(layer: nn.Module) -> bool:
    """Tell whether single channels of this layer can be removed.

    Grouped convolutions, other norms and attention are coupled in ways that these cuts do not
    respect: False.
    """
    if parametrize.is_parametrized(layer):
        return False
    if isinstance(layer, _CONVOLUTIONS):
        return layer.groups == 1 or _is_depthwise(layer)
    return isinstance(layer, (nn.Linear, *_BATCH_NORMS))


def channel_dimensions(layer: nn.Module, direction: Direction) -> Mapping[str, int]:
    """Return the tensors that shrink with the channels of one side, and along which dimension.

    Args:
        layer: a layer for which `has_cuttable_channels` holds.
        direction: the side of it.

    Returns:
        Attribute name → dimension; attributes that the layer has set to None are left out.
    """
    if isinstance(layer, _BATCH_NORMS) or _is_depthwise(layer):
        dimensions = _PER_CHANNEL
    elif direction is Direction.OUTPUT:
        dimensions = {"weight": int(isinstance(layer, _TRANSPOSED)), "bias": 0}
    else:
        dimensions = {"weight": int(not isinstance(layer, _TRANSPOSED))}
    return {
        name: dimension
        for name, dimension in dimensions.items()
        if isinstance(getattr(layer, name, None), torch.Tensor)
    }


def narrow_layer(layer: nn.Module, direction: Direction, kept: torch.Tensor) -> None:
    """Keep these channels of one side of a layer and drop the others, in place.

    Args:
        layer: a layer for which `has_cuttable_channels` holds.
        direction: the side of it.
        kept: int64, shape (K,), ascending positions.
    """
    # Taken before anything shrinks: they are read from what the layer is now.
    width_attributes = _width_attributes(layer, direction)
    for name, dimension in channel_dimensions(layer, direction).items():
        tensor = getattr(layer, name)
        narrowed = tensor.detach().index_select(dimension, kept.to(tensor.device))
        if isinstance(tensor, nn.Parameter):
            narrowed = nn.Parameter(narrowed, requires_grad=tensor.requires_grad)
        setattr(layer, name, narrowed)
    for name in width_attributes:
        setattr(layer, name, len(kept))


def channel_count(layer: nn.Module, direction: Direction) -> int:
    """Return the number of channels of one side of a layer that can be cut."""
    return int(getattr(layer, _width_attributes(layer, direction)[0]))


def _width_attributes(layer: nn.Module, direction: Direction) -> tuple[str, ...]:
    if isinstance(layer, _BATCH_NORMS):
        return ("num_features",)
    if _is_depthwise(layer):
        return ("in_channels", "out_channels", "groups")
    side = "out" if direction is Direction.OUTPUT else "in"
    return (f"{side}_features" if isinstance(layer, nn.Linear) else f"{side}_channels",)


def _is_depthwise(layer: nn.Module) -> bool:
    return (
        isinstance(layer, _CONVOLUTIONS)
        and layer.groups > 1
        and layer.groups == layer.in_channels == layer.out_channels
    )
