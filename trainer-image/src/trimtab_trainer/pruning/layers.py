"""Narrowing of single modules: their tensors, and the attributes that repeat a width.

Used by `cuts`. What belongs together across modules is `dependency`'s.
"""

from collections.abc import Sequence

import torch
from torch import nn

from trimtab_trainer.pruning.attention import NarrowAttention, is_self_attention

__all__ = ["make_cuttable", "narrow_tensor", "update_widths"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CHANNEL_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)


def make_cuttable(model: nn.Module, module: str) -> None:
    """Put an attention module of any width in the place of one with fixed widths, in place.

    Args:
        model: the model.
        module: name of a module that shall be cut. It is replaced if it is attention, and so is
            attention that it is the output projection of.
    """
    for name in (module, module.rpartition(".")[0]):
        candidate = model.get_submodule(name)
        if name and is_self_attention(candidate):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, NarrowAttention(candidate))


def narrow_tensor(module: nn.Module, name: str, dimension: int, kept: Sequence[int]) -> None:
    """Keep these positions of a tensor and drop the others, in place.

    Args:
        module: its owner; afterwards its attributes may be wrong until `update_widths`.
        name: attribute of a parameter or buffer.
        dimension: the dimension that shrinks.
        kept: ascending positions.
    """
    tensor: torch.Tensor = getattr(module, name)
    index = torch.tensor(kept, dtype=torch.int64, device=tensor.device)
    narrowed = tensor.detach().index_select(dimension, index)
    if isinstance(tensor, nn.Parameter):
        narrowed = nn.Parameter(narrowed, requires_grad=tensor.requires_grad)
    setattr(module, name, narrowed)


def update_widths(module: nn.Module) -> None:
    """Set the attributes that repeat a width to what the tensors of the module have, in place.

    Grouped convolutions and group norms keep the size of a group and lose groups.

    Args:
        module: whose tensors were narrowed; attributes of modules that are not torch's stay.
    """
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _CONVOLUTIONS):
        _update_convolution(module)
    elif isinstance(module, _TRANSPOSED):
        _update_transposed(module)
    elif isinstance(module, _CHANNEL_NORMS):
        module.num_features = _find_length(module)
    elif isinstance(module, nn.GroupNorm):
        channels = _find_length(module)
        if module.num_groups > 1:
            module.num_groups = channels * module.num_groups // module.num_channels
        module.num_channels = channels
    elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        module.normalized_shape = (_find_length(module),)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = _find_length(module)
    elif isinstance(module, NarrowAttention):
        module.num_heads = module.in_proj_weight.shape[0] // (3 * module.head_dim)


def _update_convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
    outputs, inputs_per_group = layer.weight.shape[:2]
    if layer.groups > 1:
        layer.groups = outputs * layer.groups // layer.out_channels
    layer.out_channels, layer.in_channels = outputs, inputs_per_group * layer.groups


def _update_transposed(
    layer: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d,
) -> None:
    inputs, outputs_per_group = layer.weight.shape[:2]
    if layer.groups > 1:
        layer.groups = inputs * layer.groups // layer.in_channels
    layer.in_channels, layer.out_channels = inputs, outputs_per_group * layer.groups


def _find_length(module: nn.Module) -> int:
    for name in ("weight", "running_mean"):
        tensor = getattr(module, name)
        if tensor is not None:
            return len(tensor)
    raise ValueError(f"{type(module).__name__} has no tensor that a cut could have narrowed")
