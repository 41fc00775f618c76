"""An exported file computes what the module computes, or the error says what stands in the way."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from export_models import NormalizedNet, make_failing, make_net, raise_key_error
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.parity import compare_outputs


@pytest.fixture(scope="module")
def net() -> NormalizedNet:
    return make_net()


@pytest.fixture(scope="module")
def exported(net: NormalizedNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    return export_onnx(net, example=torch.rand(2, 1, 6, 6), path=path, opset=18).path


def read_shapes(path: Path) -> dict[str, list[str | int]]:
    graph = onnx.load(path).graph
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_file_agrees_with_the_module_in_evaluation_mode_at_any_batch_size(
    net: NormalizedNet, exported: Path, batch_size: int
) -> None:
    inputs = torch.rand(batch_size, 1, 6, 6)
    runner = open_runner(exported, threads=1)
    parity = compare_outputs(net.eval(), runner, [inputs], tolerance=1e-5)
    net.train()
    assert parity.samples == batch_size
    assert parity.max_abs_error < 1e-5


def test_signature_names_input_output_and_a_free_batch(exported: Path) -> None:
    assert read_shapes(exported) == {"input": ["batch", 1, 6, 6], "output": ["batch", 4]}


def test_a_fixed_batch_is_in_the_file_whatever_the_example_holds(
    net: NormalizedNet, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    export_onnx(net, example=torch.rand(1, 1, 6, 6), path=path, opset=18, batch=3)
    assert read_shapes(path) == {"input": [3, 1, 6, 6], "output": [3, 4]}
    inputs = torch.rand(7, 1, 6, 6)
    parity = compare_outputs(
        net.eval(), open_runner(path, threads=1), [inputs, inputs[:2]], tolerance=1e-5
    )
    net.train()
    assert parity.samples == 9


def test_batch_normalization_is_folded_and_dropout_gone(exported: Path) -> None:
    operators = {node.op_type for node in onnx.load(exported).graph.node}
    assert operators.isdisjoint({"BatchNormalization", "Dropout"})
    assert "Conv" in operators


def test_file_holds_its_weights_and_no_paths_of_the_machine(exported: Path) -> None:
    model = onnx.load(exported, load_external_data=False)
    locations = {tensor.data_location for tensor in model.graph.initializer}
    assert locations == {onnx.TensorProto.DEFAULT}
    assert b"export_models" not in exported.read_bytes()


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
        pytest.param(lambda x: (x, x), r"one tensor but returns 2 in a tuple", id="two outputs"),
        pytest.param(lambda x: {"out": x}, r"one tensor but returns 1 in a dict", id="named"),
        pytest.param(lambda x: x.sum(), r"first dimension of the output", id="no batch"),
        pytest.param(lambda x: x.reshape(-1, 2), r"its shape is \(2\*s", id="another batch"),
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


def test_an_example_of_one_sample_is_refused_for_a_free_batch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 samples but holds 1"):
        export_onnx(nn.Identity(), example=torch.rand(1, 4), path=tmp_path / "x.onnx", opset=18)
