"""An exported file computes what the module computes, or the error says what stands in the way."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from trimtab_trainer.benchmarking.runners import OnnxRunner
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.parity import compare_outputs


class NormalizedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor([0.2]).view(1, 1, 1, 1))
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(8 * 36, 4),
        )

    @override
    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.network((images.expand(-1, 3, -1, -1) - self.mean) / 0.3)
        return output


class Calling(nn.Module):
    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    @override
    def forward(self, values: Tensor) -> object:
        return self.function(values)


def make_failing(function: Callable[[Tensor], object]) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(Calling(function)))


def raise_key_error(values: Tensor) -> Tensor:
    raise KeyError("of the user")


@pytest.fixture(scope="module")
def net() -> NormalizedNet:
    torch.manual_seed(0)
    net = NormalizedNet()
    net(torch.rand(16, 1, 6, 6))  # statistics of the batch normalization that are not 0 and 1
    return net


@pytest.fixture(scope="module")
def exported(net: NormalizedNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    return export_onnx(net, example=torch.rand(2, 1, 6, 6), path=path, opset=18).path


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_file_agrees_with_the_module_in_evaluation_mode_at_any_batch_size(
    net: NormalizedNet, exported: Path, batch_size: int
) -> None:
    inputs = torch.rand(batch_size, 1, 6, 6)
    parity = compare_outputs(net.eval(), OnnxRunner(exported, 1), [inputs], tolerance=1e-5)
    net.train()
    assert parity.samples == batch_size
    assert parity.max_abs_error < 1e-5


def test_signature_names_input_output_and_a_free_batch(exported: Path) -> None:
    graph = onnx.load(exported).graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"input": ["batch", 1, 6, 6], "output": ["batch", 4]}


def test_batch_normalization_is_folded_and_dropout_gone(exported: Path) -> None:
    operators = {node.op_type for node in onnx.load(exported).graph.node}
    assert operators.isdisjoint({"BatchNormalization", "Dropout"})
    assert "Conv" in operators


def test_file_holds_its_weights_and_no_paths_of_the_machine(exported: Path) -> None:
    model = onnx.load(exported, load_external_data=False)
    locations = {tensor.data_location for tensor in model.graph.initializer}
    assert locations == {onnx.TensorProto.DEFAULT}
    assert Path(__file__).name.encode() not in exported.read_bytes()


def test_the_module_is_left_as_it_was_and_exporting_again_gives_the_same_file(
    net: NormalizedNet, exported: Path, tmp_path: Path
) -> None:
    net.train()
    again = export_onnx(net, example=torch.rand(3, 1, 6, 6), path=tmp_path / "x.onnx", opset=18)
    assert net.training
    assert again.path.read_bytes() == exported.read_bytes()


def test_f70_unsupported_operator_is_named_with_its_module_and_nothing_is_published(
    tmp_path: Path,
) -> None:
    model = make_failing(torch.special.bessel_j0)
    with pytest.raises(ExportFailedError, match=r"bessel_j0 of module 1\.0 .*opset 18"):
        export_onnx(model, example=torch.rand(2, 4), path=tmp_path / "x.onnx", opset=18)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        pytest.param(lambda x: x if x.sum() > 0 else -x, r"module 1\.0 .*data-dependent", id="if"),
        pytest.param(raise_key_error, r"module 1\.0 .*KeyError: 'of the user'", id="raises"),
        pytest.param(lambda x: x.reshape(3, 4) + 1, r"free batch size: .*constant", id="fixed"),
        pytest.param(lambda x: (x, x), r"one tensor but returns 2", id="two outputs"),
        pytest.param(lambda x: x.sum(), r"first dimension of output", id="no batch"),
    ],
)
def test_f70_what_cannot_be_exported_says_why(
    tmp_path: Path, function: Callable[[Tensor], object], cause: str
) -> None:
    with pytest.raises(ExportFailedError, match=cause):
        export_onnx(
            make_failing(function), example=torch.rand(3, 4), path=tmp_path / "x.onnx", opset=18
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failing_export_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = make_failing(lambda x: x if x.sum() > 0 else -x)
    with pytest.raises(ExportFailedError):
        export_onnx(model, example=torch.rand(2, 4), path=tmp_path / "x.onnx", opset=18)
    assert capfd.readouterr() == ("", "")


def test_an_example_of_one_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 samples but holds 1"):
        export_onnx(nn.Identity(), example=torch.rand(1, 4), path=tmp_path / "x.onnx", opset=18)
