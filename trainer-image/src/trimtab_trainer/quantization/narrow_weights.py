"""Weights as arrays of fewer bits.

Called by the techniques that write such weights themselves and by the measurement of layers; files
and runtimes are left to them. Zero stays exactly zero in every type.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from trimtab_api.v1alpha1.quantize import WeightDtype

__all__ = ["IntegerWeights", "cast_weight", "find_channel_axis", "quantize_weight", "read_integer"]

Floats = NDArray[np.float32]

_LARGEST_LEVEL = 127
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)

_HALF_TYPES = {
    WeightDtype.FP16: (TensorProto.FLOAT16, torch.float16),
    WeightDtype.BF16: (TensorProto.BFLOAT16, torch.bfloat16),
}


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """Weights as integer levels with one scale, or with one per channel."""

    levels: NDArray[np.int8]
    """-127…127, in the shape of the weights."""
    scales: Floats
    """Of as many dimensions, so that a product with the levels gives the weights."""

    def widen(self) -> Floats:
        """Return the weights that the levels stand for."""
        return self.levels.astype(np.float32) * self.scales


def quantize_weight(values: Floats, *, axis: int, per_channel: bool) -> IntegerWeights | None:
    """Quantize symmetrically to int8, so that the largest magnitude becomes 127.

    Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018.

    Args:
        values: Weights of any shape.
        axis: Dimension of the output channels.
        per_channel: One scale per output channel instead of one for all.

    Returns:
        Levels and scales; None where a value is not finite.
    """
    if not np.isfinite(values).all():
        return None
    others = tuple(each for each in range(values.ndim) if each != axis or not per_channel)
    largest = np.abs(values).max(axis=others, keepdims=True, initial=0.0)
    # Less than the smallest normal number has no inverse; such a channel is zero.
    scales = np.maximum(largest / _LARGEST_LEVEL, _SMALLEST_SCALE).astype(np.float32)
    levels = np.clip(np.rint(values / scales), -_LARGEST_LEVEL, _LARGEST_LEVEL).astype(np.int8)
    return IntegerWeights(levels, scales)


def cast_weight(tensor: str, values: Floats, dtype: WeightDtype) -> TensorProto | None:
    """Return weights in 16 bits, rounded to the nearest, as a stored tensor.

    Args:
        tensor: Name of the tensor.
        values: Weights of any shape.
        dtype: fp16 or bf16.

    Returns:
        None where a value leaves the type's range.

    Raises:
        ValueError: The type has not 16 bits.
    """
    if dtype not in _HALF_TYPES:
        raise ValueError(f"weights are cast to fp16 or bf16, not to {dtype}")
    stored_type, torch_type = _HALF_TYPES[dtype]
    narrow = torch.tensor(values).to(torch_type)
    if not narrow.isfinite().all():
        return None
    content = narrow.view(torch.int16).numpy().astype("<i2").tobytes()
    return helper.make_tensor(tensor, stored_type, values.shape, content, raw=True)


def find_channel_axis(node: NodeProto, dimensions: int) -> int:
    """Return which dimension of a layer's weights holds its output channels."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1
        case "Gemm":
            return 0 if read_integer(node, "transB", 0) else 1
        case _:
            return dimensions - 1


def read_integer(node: NodeProto, attribute: str, default: int) -> int:
    """Return an attribute of a node, or what it is where the node leaves it out."""
    return next((int(each.i) for each in node.attribute if each.name == attribute), default)
