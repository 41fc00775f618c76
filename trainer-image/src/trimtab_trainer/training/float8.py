"""8-bit floats: linear layers whose three products take inputs of 8 bits, as they train.

Called by the training loop for precision fp8. SEAM of torch's scaled matrix product, on devices
that have one; elsewhere values are rounded to 8 bits and multiplied in fp32, which shows the
accuracy but not the speed. Each tensor gets its own scale, new in each step, from its largest
value; activations and weights are e4m3 and gradients e5m2 (Micikevicius et al., "FP8 Formats for
Deep Learning", 2022). What is not a linear layer computes as autocast says.
Shapes: N rows, I input features, O output features.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import ScalingType
from typing_extensions import override

__all__ = ["fits_float8", "float8_forward"]

_FINE = torch.float8_e4m3fn
_WIDE = torch.float8_e5m2
_BLOCK = 16
"""Tensor cores take dimensions that are multiples of this."""
_TINY = 1e-30
"""The scale of a tensor of zeros must not divide by zero."""


def fits_float8(module: nn.Module) -> bool:
    """Return whether this is a linear layer whose products the hardware can take.

    The projections inside torch's attention layers are computed by one function of their own, not
    by linear layers, so they stay as autocast says.
    """
    return (
        type(module) is nn.Linear
        and module.in_features % _BLOCK == 0
        and module.out_features % _BLOCK == 0
    )


def float8_forward(linear: nn.Linear, *, emulated: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a forward for the layer; its outputs and gradients are bf16.

    Args:
        linear: Its weights stay fp32 and its own.
        emulated: Whether to round and multiply in fp32.
    """

    def compute(inputs: torch.Tensor) -> torch.Tensor:
        rows = inputs.reshape(-1, linear.in_features)
        # Autocast would round the products of the emulation once more.
        with torch.autocast(inputs.device.type, enabled=False):
            product = _Product.apply(rows, linear.weight, emulated)
        outputs: torch.Tensor = product.view(*inputs.shape[:-1], linear.out_features)
        bias: torch.Tensor | None = linear.bias
        return outputs if bias is None else outputs + bias.to(outputs.dtype)

    return compute


class _Product(torch.autograd.Function):
    """inputs (N, I) times weights (O, I) transposed, and the two products of its gradients."""

    @staticmethod
    @override
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, emulated: bool
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.emulated = emulated
        return _multiply(_quantize(inputs, _FINE), _quantize(weight, _FINE), emulated=emulated)

    @staticmethod
    @override
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        inputs, weight = ctx.saved_tensors
        narrow = _quantize(gradient, _WIDE)
        to_inputs = _multiply(narrow, _transposed(_quantize(weight, _FINE)), emulated=ctx.emulated)
        to_weight = _multiply(
            _filled(_transposed(narrow)),
            _filled(_transposed(_quantize(inputs, _FINE))),
            emulated=ctx.emulated,
        )
        return to_inputs.to(inputs.dtype), to_weight.to(weight.dtype), None


Scaled = tuple[torch.Tensor, torch.Tensor]
"""8-bit values, and the fp32 factor that gives them back."""


def _quantize(values: torch.Tensor, dtype: torch.dtype) -> Scaled:
    largest = values.detach().abs().amax().float()
    scale = torch.clamp(largest, min=_TINY) / torch.finfo(dtype).max
    # A value that is not finite must stay so: the loss scale looks for it.
    return (values.float() / scale).to(dtype), scale


def _transposed(scaled: Scaled) -> Scaled:
    values, scale = scaled
    return values.t().contiguous(), scale


def _filled(scaled: Scaled) -> Scaled:
    """Fill the last dimension, over which is summed, with zeros to a multiple of 16."""
    values, scale = scaled
    missing = -values.shape[-1] % _BLOCK
    if not missing:
        return scaled
    # Padding knows no 8-bit floats; their bytes it does.
    padded = functional.pad(values.view(torch.uint8), (0, missing))
    return padded.view(values.dtype), scale


def _multiply(left: Scaled, right: Scaled, *, emulated: bool) -> torch.Tensor:
    """Return left (M, K) times right (L, K) transposed, in bf16."""
    (a, a_scale), (b, b_scale) = left, right
    if emulated:
        product = (a.float() @ b.float().t()) * (a_scale * b_scale)
        return product.bfloat16()
    return functional.scaled_mm(
        a,
        b.t(),
        a_scale,
        ScalingType.TensorWise,
        b_scale,
        ScalingType.TensorWise,
        output_dtype=torch.bfloat16,
    )
