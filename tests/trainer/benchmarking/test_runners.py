"""A file runs as a callable on tensors, in the runtime of its suffix, and a refused one is named."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn
from typing_extensions import override

from onnx_builder import make_linear, make_operator
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.benchmarking.runners._base import AbstractRunner, RunnerInput
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.exporting.torch_program import export_pt2
from trimtab_trainer.openvino_library import InferencePrecision

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


def make_ir(path: Path, precision: InferencePrecision = InferencePrecision.F32) -> Path:
    source = make_operator(path.with_suffix(".onnx"))
    return convert_openvino(source, path, weights=IrWeights.FP32, precision=precision).path


@pytest.fixture(scope="module")
def relu_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same function of three features in every format."""
    folder = tmp_path_factory.mktemp("files")
    program = export_pt2(nn.ReLU(), example=torch.rand(2, 3), path=folder / "x.pt2")
    return {
        ".onnx": make_operator(folder / "x.onnx"),
        ".pt2": program.path,
        ".xml": make_ir(folder / "x.xml"),
    }


class FixedBatch(AbstractRunner):
    """Takes two samples at once, doubles them and notes what it was given."""

    def __init__(self) -> None:
        super().__init__(RunnerInput("input", (2, 1), "float32"), TargetDevice.CPU)
        self.given: list[list[float]] = []

    @override
    def run(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        self.given.append(inputs.flatten().tolist())
        return np.asarray(inputs, np.float32) * 2


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_takes_and_gives_tensors_of_any_batch_size(
    relu_files: dict[str, Path], suffix: str
) -> None:
    runner = open_runner(relu_files[suffix], threads=1)
    for inputs in (torch.tensor([[-1.0, 0.0, 2.0]]), torch.randn(5, 3, requires_grad=True)):
        output = runner(inputs)
        assert torch.equal(output, inputs.detach().relu())
        assert output.dtype == torch.float32


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_inputs_are_random_in_the_unit_interval_and_the_same_again(
    relu_files: dict[str, Path], suffix: str
) -> None:
    runner = open_runner(relu_files[suffix], threads=1)
    inputs = runner.make_inputs(100)
    assert inputs.shape == (100, 3)
    assert inputs.dtype == np.float32
    assert 0 <= inputs.min() < 0.1
    assert 0.9 < inputs.max() <= 1
    assert np.array_equal(inputs, runner.make_inputs(100))


@pytest.mark.parametrize(
    ("suffix", "runtime"), [(".onnx", "ONNX Runtime"), (".pt2", "PyTorch"), (".xml", "OpenVINO")]
)
def test_f70_a_runtime_that_inputs_do_not_fit_is_named(
    relu_files: dict[str, Path], suffix: str, runtime: str
) -> None:
    runner = open_runner(relu_files[suffix], threads=1)
    for shape in ((2, 4), (2,), (2, 3, 1)):
        with pytest.raises(ExportFailedError, match=f"^{runtime} fails: "):
            runner(torch.rand(shape))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_f70_a_file_that_is_no_model_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportFailedError, match=rf"refuses x\{suffix}: "):
        open_runner(path, threads=1)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_f70_a_file_that_is_not_there_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ExportFailedError, match=rf"refuses x\{suffix}: "):
        open_runner(tmp_path / f"x{suffix}", threads=1)


def test_another_suffix_has_no_runtime(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['\.onnx', '\.pt2', '\.xml'\] but is x\.tflite"):
        open_runner(tmp_path / "x.tflite", threads=1)


def test_a_fixed_batch_is_run_in_pieces_and_filled_up_with_its_last_sample() -> None:
    runner = FixedBatch()
    assert runner(torch.tensor([[1.0], [2.0], [3.0]])).tolist() == [[2.0], [4.0], [6.0]]
    assert runner(torch.tensor([[4.0], [5.0]])).tolist() == [[8.0], [10.0]]
    assert runner.given == [[1.0, 2.0], [3.0, 3.0], [4.0, 5.0]]


def test_a_fixed_batch_can_be_measured_at_that_batch_only(tmp_path: Path) -> None:
    runner = open_runner(make_linear(tmp_path / "x.onnx", batch=2), threads=1)
    assert runner.make_inputs(2).shape == (2, 64)
    with pytest.raises(ExportFailedError, match="takes 2 samples at once but 1 were asked for"):
        runner.make_inputs(1)


def test_outputs_keep_their_type_where_inputs_are_integers(tmp_path: Path) -> None:
    class Scores(nn.Module):
        @override
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens / 4

    path = export_pt2(
        Scores(), example=torch.ones(2, 3, dtype=torch.int64), path=tmp_path / "x.pt2"
    ).path
    runner = open_runner(path, threads=1)
    assert runner(torch.ones(1, 3, dtype=torch.int64)).tolist() == [[0.25] * 3]
    inputs = runner.make_inputs(2)
    assert inputs.dtype == np.int64
    assert not inputs.any()


def test_inputs_of_unknown_width_or_type_cannot_be_made(tmp_path: Path) -> None:
    free = open_runner(make_operator(tmp_path / "x.onnx", shape=("batch", None)), threads=1)
    half = make_operator(tmp_path / "y.onnx", "Identity", dtype=TensorProto.FLOAT16)
    for runner in (free, open_runner(half, threads=1)):
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
    path = make_operator(tmp_path / "x.onnx", operator, dtype=dtype)
    with pytest.raises(ExportFailedError, match=rf"refuses operator {operator} of x\.onnx: "):
        open_runner(path, threads=1)


def test_an_ir_is_run_in_the_type_that_it_says(tmp_path: Path) -> None:
    source = make_linear(tmp_path / "x.onnx")
    inputs = torch.rand(4, 64)
    exact = inputs.sum(1)
    errors = {}
    for precision in InferencePrecision:
        path = tmp_path / f"{precision}.xml"
        convert_openvino(source, path, weights=IrWeights.FP32, precision=precision)
        output = open_runner(path, threads=1)(inputs)[:, 0]
        errors[precision] = float((output - exact).abs().max())
    # On a processor without bf16 both are exact; left to itself OpenVINO makes both inexact.
    assert errors[InferencePrecision.F32] < 1e-4
    assert errors[InferencePrecision.BF16] < 0.2


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is CUDA to run on")
@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_without_cuda_a_file_runs_on_the_cpu_and_the_runner_says_so(
    relu_files: dict[str, Path], suffix: str
) -> None:
    runner = open_runner(relu_files[suffix], threads=1, device=TargetDevice.CUDA)
    assert runner.device is TargetDevice.CPU
    assert runner(-torch.ones(1, 3)).tolist() == [[0.0] * 3]


@pytest.mark.parametrize(
    ("started", "device"),
    [([CUDA, CPU], TargetDevice.CUDA), ([CPU], TargetDevice.CPU)],
    ids=["works", "cannot start"],
)
def test_cuda_is_asked_for_where_the_runtime_has_it_and_the_runner_says_what_it_got(
    relu_files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    started: list[str],
    device: TargetDevice,
) -> None:
    real = onnxruntime.InferenceSession
    asked: list[list[str]] = []

    def start(path: Path, options: object, *, providers: list[str]) -> object:
        asked.append(providers)
        session = real(path, options, providers=[CPU])
        monkeypatch.setattr(session, "get_providers", lambda: started)
        return session

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    runner = open_runner(relu_files[".onnx"], threads=1, device=TargetDevice.CUDA)
    assert asked == [[CUDA, CPU]]
    assert runner.device is device


@pytest.mark.parametrize(
    ("suffix", "others"),
    [(".onnx", ["torch", "openvino"]), (".xml", ["torch", "onnxruntime"])],
)
def test_running_a_file_loads_its_own_runtime_alone_and_tells_nobody(
    relu_files: dict[str, Path], tmp_path: Path, suffix: str, others: list[str]
) -> None:
    code = (
        "import sys, pathlib; from trimtab_trainer.benchmarking.runners import open_runner; "
        "runner = open_runner(pathlib.Path(sys.argv[1]), threads=1); "
        "runner.run(runner.make_inputs(1)); "
        "print([name for name in sys.argv[2:] if name in sys.modules])"
    )
    # Runtimes that report their use keep an identifier at home. Some do not where CI is set.
    hidden = {"CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME"}
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.run(
        [sys.executable, "-c", code, str(relu_files[suffix]), *others],
        env=env | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"
    assert process.stderr == ""
    assert list(tmp_path.iterdir()) == []
