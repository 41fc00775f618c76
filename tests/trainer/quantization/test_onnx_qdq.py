"""A quantized file computes in 8 bits where it pays, in float where it does not, and says which."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from trimtab_api.v1alpha1.quantize import CalibrationMethod
from trimtab_trainer.benchmarking.runners import OnnxRunner
from trimtab_trainer.errors import UserError
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.quantization.inspection import inspect_quantized
from trimtab_trainer.quantization.onnx_qdq import quantize_static


class ResidualNet(nn.Module):
    """Grey image, expanded, resized and normalized; a residual block; scores."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 5)

    @override
    def forward(self, images: Tensor) -> Tensor:
        large = nn.functional.interpolate(images, size=(8, 8), mode="bilinear")
        normal = (large.expand(-1, 3, -1, -1) - self.mean) / 0.25
        features = self.stem(normal).relu()
        features = (features + self.block(features)).relu()
        scores: Tensor = self.head(self.pool(features).flatten(1))
        return scores


def make_images(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, 1, 6, 6), dtype=np.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = ResidualNet()
    net(torch.from_numpy(make_images(64)))  # statistics of the batch normalization
    path = tmp_path_factory.mktemp("source") / "model.onnx"
    return export_onnx(net, example=torch.rand(2, 1, 6, 6), path=path, opset=18).path


def quantize(
    source: Path,
    target: Path,
    *,
    method: CalibrationMethod = CalibrationMethod.PERCENTILE,
    batches: list[NDArray[np.float32]] | None = None,
    per_channel: bool = True,
) -> Path:
    return quantize_static(
        source,
        target,
        # Batches of unequal size, as the end of a data set gives them.
        batches=[make_images(20), make_images(3)] if batches is None else batches,
        method=method,
        percentile=99.99,
        per_channel=per_channel,
    ).path


@pytest.fixture(scope="module")
def quantized(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantize(source, tmp_path_factory.mktemp("quantized") / "int8.onnx")


@pytest.mark.parametrize("method", CalibrationMethod)
def test_scores_stay_close_to_the_source(
    source: Path, tmp_path: Path, method: CalibrationMethod
) -> None:
    images = make_images(50)
    expected = OnnxRunner(source, 1).run(images)
    path = quantize(source, tmp_path / "int8.onnx", method=method)
    actual = OnnxRunner(path, 1).run(images)
    spread = torch.from_numpy(expected).std(dim=0).mean()
    error = torch.from_numpy(actual) - torch.from_numpy(expected)
    assert error.abs().mean() < 0.3 * spread


def test_all_layers_are_read_back_as_int8_weights_and_uint8_activations(quantized: Path) -> None:
    found = inspect_quantized(quantized)
    assert found.quantized_layers == ("stem.0", "block.0", "head")
    assert found.float_layers == ()
    assert (found.weight_dtypes, found.activation_dtypes) == (("int8",), ("uint8",))


def test_a_float_file_is_read_back_as_float(source: Path) -> None:
    found = inspect_quantized(source)
    assert found.quantized_layers == ()
    assert found.float_layers == ("stem.0", "block.0", "head")


def test_the_runtime_takes_integer_kernels_for_all_layers(quantized: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantized, options)
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("QLinearConv") == 2
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


@pytest.mark.parametrize(("per_channel", "scales"), [(True, 16), (False, 1)])
def test_weights_have_one_scale_per_channel_or_per_layer(
    source: Path, tmp_path: Path, *, per_channel: bool, scales: int
) -> None:
    path = quantize(source, tmp_path / "int8.onnx", per_channel=per_channel)
    weights = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    assert onnx.numpy_helper.to_array(weights["stem.0.weight_scale"]).size == scales


def test_same_samples_give_the_same_file(source: Path, quantized: Path, tmp_path: Path) -> None:
    again = quantize(source, tmp_path / "int8.onnx")
    assert again.read_bytes() == quantized.read_bytes()


def test_a_file_that_ends_in_relu_keeps_its_meaning(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    path = tmp_path / "relu.onnx"
    export_onnx(net, example=torch.rand(2, 4), path=path, opset=18)
    values = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    target = quantize(path, tmp_path / "int8.onnx", batches=[values])
    outputs = OnnxRunner(target, 1).run(values)
    assert outputs.min() == 0.0
    assert np.allclose(outputs, OnnxRunner(path, 1).run(values), atol=0.1)


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
def test_f68_unusable_calibration_is_refused_and_nothing_published(
    source: Path, tmp_path: Path, batches: list[NDArray[np.float32]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        quantize(source, tmp_path / "int8.onnx", batches=batches)
    assert list(tmp_path.iterdir()) == []
