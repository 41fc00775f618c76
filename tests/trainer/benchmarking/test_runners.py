"""A file runs as a callable on tensors, and a file that the runtime refuses is named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from trimtab_trainer.benchmarking.runners import OnnxRunner
from trimtab_trainer.errors import ExportFailedError


def make_file(
    path: Path, operator: str = "Relu", *, dtype: int = TensorProto.FLOAT, width: int | None = 3
) -> Path:
    shape = ["batch", width]
    graph = helper.make_graph(
        [helper.make_node(operator, ["input"], ["output"], name="the_node")],
        "graph",
        [helper.make_tensor_value_info("input", dtype, shape)],
        [helper.make_tensor_value_info("output", dtype, shape)],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    return path


def test_takes_and_gives_tensors_of_any_batch_size(tmp_path: Path) -> None:
    runner = OnnxRunner(make_file(tmp_path / "x.onnx"), threads=1)
    for inputs in (torch.tensor([[-1.0, 0.0, 2.0]]), torch.randn(5, 3, requires_grad=True)):
        output = runner(inputs)
        assert torch.equal(output, inputs.detach().relu())
        assert output.dtype == torch.float32


def test_inputs_are_random_in_the_unit_interval_and_the_same_again(tmp_path: Path) -> None:
    runner = OnnxRunner(make_file(tmp_path / "x.onnx"), threads=1)
    inputs = runner.make_inputs(100)
    assert inputs.shape == (100, 3)
    assert inputs.dtype == np.float32
    assert 0 <= inputs.min() < 0.1
    assert 0.9 < inputs.max() <= 1
    assert np.array_equal(inputs, runner.make_inputs(100))


def test_integer_inputs_are_zero(tmp_path: Path) -> None:
    runner = OnnxRunner(make_file(tmp_path / "x.onnx", "Abs", dtype=TensorProto.INT64), threads=1)
    inputs = runner.make_inputs(2)
    assert inputs.dtype == np.int64
    assert not inputs.any()


def test_inputs_of_unknown_width_cannot_be_made(tmp_path: Path) -> None:
    runner = OnnxRunner(make_file(tmp_path / "x.onnx", width=None), threads=1)
    with pytest.raises(ExportFailedError, match="must have fixed sizes besides the batch"):
        runner.make_inputs(2)


@pytest.mark.parametrize(
    ("operator", "dtype"),
    [
        pytest.param("NoSuchOperator", TensorProto.FLOAT, id="unknown"),
        pytest.param("Cos", TensorProto.BFLOAT16, id="wrong type"),
        pytest.param("Abs", TensorProto.BFLOAT16, id="no kernel"),
    ],
)
def test_f70_the_operator_that_the_runtime_refuses_is_named(
    tmp_path: Path, operator: str, dtype: int
) -> None:
    path = make_file(tmp_path / "x.onnx", operator, dtype=dtype)
    with pytest.raises(ExportFailedError, match=rf"refuses operator {operator} of x\.onnx: "):
        OnnxRunner(path, threads=1)


def test_f70_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportFailedError, match=r"refuses x\.onnx: "):
        OnnxRunner(path, threads=1)


def test_inputs_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    runner = OnnxRunner(make_file(tmp_path / "x.onnx"), threads=1)
    with pytest.raises(ExportFailedError, match="ONNX Runtime fails: "):
        runner(torch.rand(2, 4))
