"""Narrow weights stay within half a level, and zero stays zero."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from trimtab_api.v1alpha1.quantize import WeightDtype
from trimtab_trainer.quantization.narrow_weights import (
    cast_weight,
    find_channel_axis,
    quantize_weight,
)

WEIGHTS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=4, max_side=4),
    elements=st.floats(-100, 100, width=32) | st.just(0.0),
)


@given(values=WEIGHTS, per_channel=st.booleans(), data=st.data())
def test_levels_are_within_half_a_step_and_zero_is_exact(
    values: NDArray[np.float32], *, per_channel: bool, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, values.ndim - 1))
    narrow = quantize_weight(values, axis=axis, per_channel=per_channel)
    assert narrow is not None
    wide = narrow.widen()
    assert narrow.levels.dtype == np.int8
    assert narrow.scales.size == (values.shape[axis] if per_channel else 1)
    assert np.all(np.abs(wide - values) <= 0.5001 * narrow.scales)
    assert np.all(wide[values == 0] == 0)


def test_each_channel_uses_all_levels() -> None:
    values = np.array([[0.0127, -0.0254], [30.0, 100.0]], np.float32)
    narrow = quantize_weight(values, axis=0, per_channel=True)
    assert narrow is not None
    assert narrow.levels.tolist() == [[64, -127], [38, 127]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_quantized(value: float) -> None:
    values = np.array([[1.0, value]], np.float32)
    assert quantize_weight(values, axis=0, per_channel=True) is None
    assert cast_weight("w", values, WeightDtype.BF16) is None


def test_weights_beyond_fp16_are_cast_to_bf16_only() -> None:
    values = np.array([[1.0, 70000.0]], np.float32)
    assert cast_weight("w", values, WeightDtype.FP16) is None
    assert cast_weight("w", values, WeightDtype.BF16) is not None


def test_cast_rounds_as_torch_does() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    stored = cast_weight("w", values, WeightDtype.BF16)
    assert stored is not None
    assert (stored.data_type, list(stored.dims)) == (TensorProto.BFLOAT16, [3, 5])
    bits = torch.from_numpy(values).bfloat16().view(torch.int16).numpy()
    assert stored.raw_data == bits.tobytes()


def test_cast_to_8_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="fp16 or bf16, not to int8"):
        cast_weight("w", np.ones((1, 1), np.float32), WeightDtype.INT8)


@pytest.mark.parametrize(
    ("node", "axis"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"]), 0),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"]), 1),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), 0),
        (helper.make_node("Gemm", ["x", "w"], ["y"]), 1),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), 1),
    ],
    ids=["conv", "transposed conv", "transposed gemm", "gemm", "matmul"],
)
def test_channels_are_the_outputs(node: NodeProto, axis: int) -> None:
    assert find_channel_axis(node, 2) == axis
