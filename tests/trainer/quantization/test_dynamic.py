"""Dynamic quantization computes linear layers in 8 bits and leaves convolutions as they are."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import override

from small_exports import (
    edit_tensor,
    export_network,
    list_optimized,
    make_images,
    read_tensor,
    run_file,
)
from trimtab_api.v1alpha1.quantize import ActivationDtype
from trimtab_trainer.errors import OperatorUnsupportedError
from trimtab_trainer.quantization.dynamic import quantize_dynamic
from trimtab_trainer.quantization.layers import list_layers

EIGHT_BITS = (ActivationDtype.UINT8, ActivationDtype.INT8)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("activations", EIGHT_BITS)
def test_types_are_read_back_and_outputs_stay_close(
    token_file: Path, tmp_path: Path, activations: ActivationDtype, *, per_channel: bool
) -> None:
    path = tmp_path / "int8.onnx"
    found = quantize_dynamic(token_file, path, activations=activations, per_channel=per_channel)
    assert found.float_layers == ("patch",)
    assert found.quantized_layers == list_layers(token_file)[1:]
    assert (found.weight_dtypes, found.activation_dtypes) == (("int8",), (activations.value,))
    expected = run_file(token_file, make_images(20))
    error = run_file(path, make_images(20)) - expected
    assert 0 < np.abs(error).max() < 0.05 * np.abs(expected).max()


def test_the_runtime_takes_one_integer_kernel_for_each_layer(
    token_file: Path, tmp_path: Path
) -> None:
    path = quantize_dynamic(token_file, tmp_path / "int8.onnx").path
    operators = list_optimized(path, tmp_path)
    # Those with an input of their own take its range themselves.
    fused = operators.count("DynamicQuantizeMatMul") + operators.count("MatMulIntegerToFloat")
    assert fused == 5
    assert "MatMulInteger" not in operators


def test_layers_that_share_an_input_share_its_range(tmp_path: Path) -> None:
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(36, 4), nn.Linear(36, 4, bias=False)

        @override
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.flatten(1)
            return torch.cat([self.left(flat), self.right(flat)], dim=1)

    torch.manual_seed(0)
    source = export_network(Twins(), tmp_path / "model.onnx")
    path = quantize_dynamic(source, tmp_path / "int8.onnx").path
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("DynamicQuantizeLinear") == 1
    assert np.allclose(run_file(path, make_images(7)), run_file(source, make_images(7)), atol=0.02)


@pytest.mark.parametrize("activations", EIGHT_BITS)
def test_an_input_of_zeros_is_computed_exactly(
    linear_file: Path, tmp_path: Path, activations: ActivationDtype
) -> None:
    path = tmp_path / "int8.onnx"
    quantize_dynamic(linear_file, path, activations=activations, keep_float=["2"])
    zeros = 0 * make_images(2)
    assert np.allclose(run_file(path, zeros), run_file(linear_file, zeros), rtol=1e-6, atol=1e-7)


def test_weights_that_are_zero_stay_zero_and_kept_layers_float(
    linear_file: Path, tmp_path: Path
) -> None:
    def clear_half(values: NDArray[np.float32]) -> None:
        values[:, ::2] = 0

    source = edit_tensor(linear_file, tmp_path / "m.onnx", "1.weight", clear_half)
    found = quantize_dynamic(source, tmp_path / "int8.onnx", keep_float=["2"])
    assert (found.quantized_layers, found.float_layers) == (("1",), ("2",))
    levels = read_tensor(found.path, "1.weight_quantized")
    assert not levels[::2].any()
    assert levels[1::2].any()
    assert "1.weight" not in {tensor.name for tensor in onnx.load(found.path).graph.initializer}


def test_f68_a_network_without_linear_layers_is_refused(
    residual_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(OperatorUnsupportedError, match="must have a linear layer"):
        quantize_dynamic(residual_file, tmp_path / "int8.onnx", keep_float=["head"])
    assert list(tmp_path.iterdir()) == []


def test_other_types_of_activations_are_refused(token_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8 or int8 but are fp32"):
        quantize_dynamic(token_file, tmp_path / "x.onnx", activations=ActivationDtype.FP32)
