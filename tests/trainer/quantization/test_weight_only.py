"""Narrow weights with float compute: the file shrinks, the types are those asked for, the speed stays."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from small_exports import edit_tensor, list_optimized, make_images, read_tensor, run_file
from trimtab_api.v1alpha1.quantize import WeightDtype
from trimtab_trainer.errors import OperatorUnsupportedError
from trimtab_trainer.quantization.inspection import QuantizedFile, inspect_quantized
from trimtab_trainer.quantization.layers import list_layers
from trimtab_trainer.quantization.weight_only import cast_weights, quantize_weights

LAYERS = ("stem.0", "block.0", "head")


def clear_half(values: NDArray[np.float32]) -> None:
    values[:, ::2] = 0


def narrow(source: Path, target: Path, dtype: WeightDtype, *keep: str) -> QuantizedFile:
    if dtype is WeightDtype.INT8:
        return quantize_weights(source, target, keep_float=keep)
    return cast_weights(source, target, dtype=dtype, keep_float=keep)


@pytest.mark.parametrize("dtype", WeightDtype)
def test_types_are_read_back_and_outputs_stay_close(
    residual_file: Path, tmp_path: Path, dtype: WeightDtype
) -> None:
    found = narrow(residual_file, tmp_path / "narrow.onnx", dtype)
    assert (found.quantized_layers, found.float_layers) == (LAYERS, ())
    assert (found.weight_dtypes, found.activation_dtypes) == ((dtype.value,), ("fp32",))
    expected = run_file(residual_file, make_images(20))
    error = run_file(found.path, make_images(20)) - expected
    assert 0 < np.abs(error).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", WeightDtype)
def test_the_runtime_computes_the_same_float_kernels_as_before(
    residual_file: Path, tmp_path: Path, dtype: WeightDtype
) -> None:
    path = narrow(residual_file, tmp_path / "narrow.onnx", dtype).path
    assert list_optimized(path, tmp_path) == list_optimized(residual_file, tmp_path)


@pytest.mark.parametrize("dtype", WeightDtype)
def test_a_layer_that_is_kept_keeps_its_weights(
    residual_file: Path, tmp_path: Path, dtype: WeightDtype
) -> None:
    found = narrow(residual_file, tmp_path / "narrow.onnx", dtype, "block.0")
    assert (found.quantized_layers, found.float_layers) == (("stem.0", "head"), ("block.0",))


def test_linear_layers_on_tokens_are_quantized(token_file: Path, tmp_path: Path) -> None:
    found = quantize_weights(token_file, tmp_path / "int8.onnx")
    assert found.quantized_layers == list_layers(token_file)
    outputs = run_file(found.path, make_images(9))
    assert np.allclose(outputs, run_file(token_file, make_images(9)), atol=0.02)


@pytest.mark.parametrize("dtype", WeightDtype)
def test_weights_that_are_zero_stay_zero(
    residual_file: Path, tmp_path: Path, dtype: WeightDtype
) -> None:
    source = edit_tensor(residual_file, tmp_path / "m.onnx", "head.weight", clear_half)
    path = narrow(source, tmp_path / "narrow.onnx", dtype).path
    values = read_tensor(path, "head.weight_quantized").astype(np.float32)
    assert not values[:, ::2].any()
    assert values[:, 1::2].all()


@pytest.mark.parametrize(("per_channel", "scales"), [(True, 16), (False, 1)])
def test_weights_have_one_scale_per_channel_or_per_layer(
    residual_file: Path, tmp_path: Path, *, per_channel: bool, scales: int
) -> None:
    path = quantize_weights(residual_file, tmp_path / "int8.onnx", per_channel=per_channel).path
    assert read_tensor(path, "stem.0.weight_scale").size == scales


def test_f68_a_layer_that_fp16_cannot_hold_stays_float_and_is_listed(
    residual_file: Path, tmp_path: Path
) -> None:
    def enlarge(values: NDArray[np.float32]) -> None:
        values[0, 0] = 1e5

    source = edit_tensor(residual_file, tmp_path / "m.onnx", "head.weight", enlarge)
    found = cast_weights(source, tmp_path / "fp16.onnx", dtype=WeightDtype.FP16)
    assert (found.quantized_layers, found.float_layers) == (LAYERS[:2], ("head",))


@pytest.mark.parametrize("dtype", WeightDtype)
def test_f68_nothing_to_quantize_is_refused_and_nothing_published(
    residual_file: Path, tmp_path: Path, dtype: WeightDtype
) -> None:
    with pytest.raises(OperatorUnsupportedError, match="has none besides"):
        narrow(residual_file, tmp_path / "narrow.onnx", dtype, *LAYERS)
    assert list(tmp_path.iterdir()) == []


def test_a_float_file_is_read_back_as_float(residual_file: Path) -> None:
    found = inspect_quantized(residual_file)
    assert (found.quantized_layers, found.float_layers) == ((), LAYERS)
    assert (found.weight_dtypes, found.activation_dtypes) == (("fp32",), ("fp32",))
