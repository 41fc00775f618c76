"""Files are measured side by side in fresh processes, and what goes wrong there is told."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trimtab_trainer.benchmarking.latency import Measurement, TargetUnmeasuredError, measure
from trimtab_trainer.benchmarking.probe import time_in_turn
from trimtab_trainer.errors import ExportFailedError


def make_linear(path: Path, width: int) -> Path:
    weights = numpy_helper.from_array(np.ones((64, width), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weights"], ["output"])],
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", width])],
        [weights],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    return path


def measure_quickly(files: dict[str, Path], timeout_seconds: float = 60) -> dict[str, Measurement]:
    return measure(
        files, threads=1, batch_size=4, warmup=1, repeats=5, timeout_seconds=timeout_seconds
    )


class FakeMachine:
    """A clock that functions move on by what they cost; it notes who ran."""

    def __init__(self) -> None:
        self.now = 0
        self.order: list[str] = []

    def make_function(self, name: str, cost: int) -> Callable[[], None]:
        def run() -> None:
            self.now += cost
            self.order.append(name)

        return run


def test_functions_are_timed_run_by_run_in_alternating_order() -> None:
    machine = FakeMachine()
    runs = {"a": machine.make_function("a", 3_000_000), "b": machine.make_function("b", 500_000)}
    milliseconds = time_in_turn(runs, repeats=3, clock=lambda: machine.now)
    assert milliseconds == {"a": [3.0] * 3, "b": [0.5] * 3}
    assert machine.order == ["a", "b", "b", "a", "a", "b"]


def test_files_are_measured_side_by_side(tmp_path: Path) -> None:
    small = make_linear(tmp_path / "small.onnx", 8)
    large = make_linear(tmp_path / "large.onnx", 200_000)
    found = measure_quickly({"small": small, "large": large})
    assert list(found) == ["small", "large"]
    for figures in found.values():
        assert 0 < figures.latency_p50_ms <= figures.latency_p95_ms
        assert figures.throughput_per_s > 0
        assert figures.contention is None or 0 <= figures.contention <= 1
    # 51 MB of weights show in the time and in the memory of that file alone.
    assert found["small"].latency_p50_ms < found["large"].latency_p50_ms
    assert found["large"].memory_mib > found["small"].memory_mib + 40


def test_f70_a_file_that_the_runtime_refuses_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportFailedError, match=r"refuses broken\.onnx"):
        measure_quickly({"broken": path})


def test_no_figures_when_the_time_is_over(tmp_path: Path) -> None:
    path = make_linear(tmp_path / "x.onnx", 8)
    with pytest.raises(TargetUnmeasuredError, match="latency of x did not end within"):
        measure_quickly({"x": path}, timeout_seconds=0.01)


def test_no_figures_when_the_process_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\ncat > /dev/null\necho out of luck >&2\nexit 7\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(TargetUnmeasuredError, match="ended with code 7: out of luck"):
        measure_quickly({"x": tmp_path / "x.onnx"})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can pin a process")
def test_the_measuring_process_keeps_to_as_many_cpus_as_it_has_threads() -> None:
    code = (
        "import os; from trimtab_trainer.benchmarking.probe import pin_process; "
        "pin_process(1); print(len(os.sched_getaffinity(0)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout.strip() == b"1"
    assert len(os.sched_getaffinity(0)) >= 1


def test_the_measuring_process_does_not_load_torch() -> None:
    code = "import sys, trimtab_trainer.benchmarking.probe; print('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout.strip() == b"False"
