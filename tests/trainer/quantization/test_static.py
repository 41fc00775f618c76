"""A static file computes in 8 bits where it pays, in float where it does not, and says which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from small_exports import (
    edit_tensor,
    export_network,
    list_optimized,
    make_images,
    read_tensor,
    run_file,
)
from trimtab_api.v1alpha1.quantize import ActivationDtype, CalibrationMethod
from trimtab_trainer.errors import CalibrationInvalidError, OperatorUnsupportedError
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.quantization.static import StaticCalibration, calibrate, write_static

LAYERS = ("stem.0", "block.0", "head")
# Batches of unequal size, as the end of a data set gives them.
BATCHES = (make_images(20), make_images(3))


def look_at(
    source: Path,
    batches: Sequence[NDArray[np.float32]] = BATCHES,
    method: CalibrationMethod = CalibrationMethod.PERCENTILE,
) -> StaticCalibration:
    return calibrate(source, batches, method=method, percentile=99.99)


@pytest.fixture(scope="module")
def calibration(residual_file: Path) -> StaticCalibration:
    return look_at(residual_file)


@pytest.fixture(scope="module")
def quantized(calibration: StaticCalibration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_static(calibration, tmp_path_factory.mktemp("static") / "int8.onnx").path


@pytest.mark.parametrize("method", CalibrationMethod)
def test_scores_stay_close_to_the_source(
    residual_file: Path, tmp_path: Path, method: CalibrationMethod
) -> None:
    expected = run_file(residual_file, make_images(50))
    path = write_static(look_at(residual_file, method=method), tmp_path / "int8.onnx").path
    error = run_file(path, make_images(50)) - expected
    assert np.abs(error).mean() < 0.3 * expected.std(axis=0).mean()


@pytest.mark.parametrize("activations", [ActivationDtype.UINT8, ActivationDtype.INT8])
def test_types_are_read_back(
    calibration: StaticCalibration, tmp_path: Path, activations: ActivationDtype
) -> None:
    found = write_static(calibration, tmp_path / "int8.onnx", activations=activations)
    assert (found.quantized_layers, found.float_layers) == (LAYERS, ())
    assert (found.weight_dtypes, found.activation_dtypes) == (("int8",), (activations.value,))
    assert run_file(found.path, make_images(3)).shape == (3, 5)


def test_the_runtime_takes_integer_kernels_for_all_layers(quantized: Path, tmp_path: Path) -> None:
    operators = list_optimized(quantized, tmp_path)
    assert operators.count("QLinearConv") == 2
    assert operators.count("QLinearAdd") == 1
    assert operators.count("QGemm") == 1
    assert {"Conv", "Gemm", "MatMul", "BatchNormalization"}.isdisjoint(operators)


def test_input_side_and_scores_stay_float_and_the_batch_free(quantized: Path) -> None:
    graph = onnx.load(quantized).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    for value in (graph.input[0], graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_param
    before_first_layer = []
    for node in graph.node:
        if node.op_type == "Conv":
            break
        before_first_layer.append(node.op_type)
    steps = [name for name in before_first_layer if name != "DequantizeLinear"]
    assert steps[-1] == "QuantizeLinear"
    assert {"Resize", "Expand", "Sub", "Div"} <= set(steps[:-1])
    assert steps.count("QuantizeLinear") == 1
    producer = next(node for node in graph.node if "output" in node.output)
    assert producer.op_type == "Gemm"


def test_one_calibration_serves_many_sets_of_float_layers(
    calibration: StaticCalibration, quantized: Path, tmp_path: Path
) -> None:
    for kept in (["block.0"], ["stem.0", "head"]):
        found = write_static(calibration, tmp_path / "kept.onnx", keep_float=kept)
        assert set(found.float_layers) == set(kept)
        assert set(found.quantized_layers) == {*LAYERS} - {*kept}
    # What was written before leaves no trace.
    again = write_static(calibration, tmp_path / "int8.onnx").path
    assert again.read_bytes() == quantized.read_bytes()


def test_the_runtime_leaves_float_layers_float(
    calibration: StaticCalibration, tmp_path: Path
) -> None:
    path = write_static(calibration, tmp_path / "int8.onnx", keep_float=["block.0"]).path
    operators = list_optimized(path, tmp_path)
    # Without the guard that is fused into the layer, its weights would get 8 bits at load.
    assert "LeakyRelu" not in operators
    assert operators.count("QLinearConv") == 1
    assert operators.count("Conv") + operators.count("FusedConv") == 1


def test_a_transformer_keeps_normalizations_and_gelu_float(
    token_file: Path, tmp_path: Path
) -> None:
    found = write_static(look_at(token_file), tmp_path / "int8.onnx")
    assert len(found.quantized_layers) == 6
    operators = set(list_optimized(found.path, tmp_path))
    assert {"QLinearMatMul", "QLinearConv", "Add", "LayerNormalization", "Erf"} <= operators
    assert {"MatMul", "Gemm", "Conv", "QLinearMul"}.isdisjoint(operators)
    expected = run_file(token_file, make_images(20))
    error = run_file(found.path, make_images(20)) - expected
    assert np.abs(error).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(("per_channel", "scales"), [(True, 16), (False, 1)])
def test_weights_have_one_scale_per_channel_or_per_layer(
    calibration: StaticCalibration, tmp_path: Path, *, per_channel: bool, scales: int
) -> None:
    path = write_static(calibration, tmp_path / "int8.onnx", per_channel=per_channel).path
    assert read_tensor(path, "stem.0.weight_scale").size == scales


def test_weights_that_are_zero_stay_zero(residual_file: Path, tmp_path: Path) -> None:
    def clear_half(values: NDArray[np.float32]) -> None:
        values[:, ::2] = 0

    source = edit_tensor(residual_file, tmp_path / "m.onnx", "head.weight", clear_half)
    path = write_static(look_at(source), tmp_path / "int8.onnx").path
    assert not read_tensor(path, "head.weight_quantized")[:, ::2].any()
    assert not read_tensor(path, "head.weight_zero_point").any()


def test_a_file_with_a_fixed_batch_is_calibrated_in_such_batches(
    residual_file: Path, calibration: StaticCalibration, tmp_path: Path
) -> None:
    model = onnx.load(residual_file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "fixed.onnx")
    fixed = look_at(tmp_path / "fixed.onnx", method=CalibrationMethod.MIN_MAX)
    free = look_at(residual_file, method=CalibrationMethod.MIN_MAX)
    assert fixed.ranges.keys() == free.ranges.keys() == calibration.ranges.keys()
    for name, seen in free.ranges.items():
        assert fixed.ranges[name].highest == pytest.approx(seen.highest, abs=1e-5)
    path = write_static(fixed, tmp_path / "int8.onnx").path
    assert run_file(path, make_images(4)).shape == (4, 5)


def test_a_file_that_ends_in_relu_keeps_its_meaning(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    path = tmp_path / "relu.onnx"
    export_onnx(net, example=torch.rand(2, 4), path=path, opset=18)
    values = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    target = write_static(look_at(path, [values]), tmp_path / "int8.onnx").path
    outputs = run_file(target, values)
    assert outputs.min() == 0.0
    assert np.allclose(outputs, run_file(path, values), atol=0.1)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        pytest.param([], "at least one sample but there is none", id="no batch"),
        pytest.param([make_images(0)], "at least one sample but there is none", id="no sample"),
        pytest.param([np.full((4, 1, 6, 6), 0.5, np.float32)], "every value is 0.5", id="constant"),
        pytest.param([make_images(2) * np.nan], "must be finite", id="not a number"),
        pytest.param([make_images(2) * np.float32(3e38)], "must be finite", id="overflow inside"),
    ],
)
def test_f68_unusable_calibration_is_refused(
    residual_file: Path, batches: list[NDArray[np.float32]], message: str
) -> None:
    with pytest.raises(CalibrationInvalidError, match=message):
        look_at(residual_file, batches)


def test_f68_a_network_without_layers_is_refused(tmp_path: Path) -> None:
    source = export_network(nn.AvgPool2d(2), tmp_path / "model.onnx")
    with pytest.raises(OperatorUnsupportedError, match="must have a convolution or a linear layer"):
        look_at(source)


def test_f68_an_operator_that_the_runtime_does_not_know_is_refused(
    residual_file: Path, tmp_path: Path
) -> None:
    model = onnx.load(residual_file)
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Unheard"
    onnx.save(model, tmp_path / "strange.onnx")
    with pytest.raises(OperatorUnsupportedError, match="Unheard"):
        look_at(tmp_path / "strange.onnx")


def test_f68_a_layer_that_cannot_be_quantized_stays_float_and_is_listed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 6, 2, groups=2))
    source = export_network(net, tmp_path / "model.onnx")
    found = write_static(look_at(source), tmp_path / "int8.onnx")
    assert (found.quantized_layers, found.float_layers) == (("0",), ("2",))
    expected = run_file(source, make_images(5))
    assert np.allclose(run_file(found.path, make_images(5)), expected, atol=0.02)


def test_f68_nothing_to_quantize_is_refused_and_nothing_published(
    calibration: StaticCalibration, tmp_path: Path
) -> None:
    with pytest.raises(OperatorUnsupportedError, match="none besides"):
        write_static(calibration, tmp_path / "int8.onnx", keep_float=LAYERS)
    assert list(tmp_path.iterdir()) == []
