"""Files are measured side by side in fresh processes, and what goes wrong there is told."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from onnx_builder import make_linear
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking import latency, probe
from trimtab_trainer.benchmarking.latency import Measurement, measure
from trimtab_trainer.benchmarking.probe import time_in_turn
from trimtab_trainer.errors import ExportFailedError, TargetUnmeasuredError
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.exporting.torch_program import export_pt2
from trimtab_trainer.openvino_library import InferencePrecision


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


def test_functions_are_timed_run_by_run_in_rounds() -> None:
    machine = FakeMachine()
    runs = {"a": machine.make_function("a", 3_000_000), "b": machine.make_function("b", 500_000)}
    milliseconds = time_in_turn(runs, repeats=3, clock=lambda: machine.now)
    assert milliseconds == {"a": [3.0] * 3, "b": [0.5] * 3}
    rounds = [machine.order[start : start + 2] for start in (0, 2, 4)]
    assert [sorted(names) for names in rounds] == [["a", "b"]] * 3


def test_no_function_follows_itself_more_often_than_another_does() -> None:
    machine = FakeMachine()
    runs = {name: machine.make_function(name, 1) for name in "abcd"}
    time_in_turn(runs, repeats=2000)
    repeated = [name for before, name in itertools.pairwise(machine.order) if before == name]
    counts = [repeated.count(name) for name in runs]
    assert min(counts) > 80
    assert max(counts) < 180


def test_quick_functions_run_on_until_the_time_is_reached() -> None:
    machine = FakeMachine()
    runs = {"a": machine.make_function("a", 10_000), "b": machine.make_function("b", 30_000)}
    milliseconds = time_in_turn(runs, repeats=5, seconds=0.004, clock=lambda: machine.now)
    assert {name: len(found) for name, found in milliseconds.items()} == {"a": 100, "b": 100}
    slow = {"c": machine.make_function("c", 3_000_000)}
    assert len(time_in_turn(slow, repeats=5, seconds=0.004, clock=lambda: machine.now)["c"]) == 5


def test_functions_that_take_no_time_end_after_many_runs() -> None:
    found = time_in_turn({"a": lambda: None}, repeats=1, seconds=1.0, clock=lambda: 0)
    assert len(found["a"]) == 20_000
    assert len(time_in_turn({"a": lambda: None}, repeats=20_001, seconds=1.0)["a"]) == 20_001


def test_one_run_that_stalls_changes_neither_median_nor_throughput(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = {
        "latency": {
            "milliseconds": {"x": [0.01] * 49 + [12.0]},
            "devices": {"x": "cpu"},
            "contention": 0.5,
        },
        "memory": {"memory_mib": 40.0},
    }
    monkeypatch.setattr(latency, "_ask", lambda request, _: replies[request["mode"]])
    found = measure_quickly({"x": Path("x.onnx")})["x"]
    assert found.latency_p50_ms == pytest.approx(0.01)
    assert found.throughput_per_s == pytest.approx(4 / 0.01e-3)


def test_files_are_measured_side_by_side(tmp_path: Path) -> None:
    small = make_linear(tmp_path / "small.onnx")
    large = make_linear(tmp_path / "large.onnx", sizes=(64, 200_000))
    found = measure_quickly({"small": small, "large": large})
    assert list(found) == ["small", "large"]
    for figures in found.values():
        assert 0 < figures.latency_p50_ms <= figures.latency_p95_ms
        assert figures.throughput_per_s > 0
        assert figures.contention is None or 0 <= figures.contention <= 1
    # 51 MB of weights show in the time and in the memory of that file alone.
    assert found["small"].latency_p50_ms < found["large"].latency_p50_ms
    assert found["large"].memory_mib > found["small"].memory_mib + 40


def test_an_ir_is_measured_in_its_own_runtime(tmp_path: Path) -> None:
    source, path = make_linear(tmp_path / "x.onnx"), tmp_path / "x.xml"
    convert_openvino(source, path, weights=IrWeights.FP32, precision=InferencePrecision.F32)
    found = measure_quickly({"ir": path})["ir"]
    assert found.latency_p50_ms > 0
    assert found.memory_mib > 10
    assert found.device == "cpu"


def test_a_program_is_measured_beside_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "pin_process", lambda threads: ())
    path = tmp_path / "x.pt2"
    export_pt2(nn.Linear(64, 8), example=torch.rand(2, 64), path=path)
    files = {"program": str(path), "file": str(make_linear(tmp_path / "x.onnx"))}
    request = {"mode": "latency", "files": files, "device": "cpu"}
    reply = probe.answer(request | {"threads": 1, "batch_size": 3, "warmup": 1, "repeats": 4})
    counts = {name: len(runs) for name, runs in reply["milliseconds"].items()}
    assert counts["program"] == counts["file"] >= 4
    assert reply["contention"] is None
    assert reply["devices"] == {"program": "cpu", "file": "cpu"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is CUDA to measure on")
def test_a_measurement_says_where_it_ran_whatever_was_asked_for(tmp_path: Path) -> None:
    found = measure(
        {"x": make_linear(tmp_path / "x.onnx")},
        device=TargetDevice.CUDA,
        threads=1,
        batch_size=1,
        warmup=0,
        repeats=1,
        timeout_seconds=60,
    )
    assert found["x"].device == "cpu"


def test_f70_a_file_that_the_runtime_refuses_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportFailedError, match=r"refuses broken\.onnx"):
        measure_quickly({"broken": path})


def test_no_figures_when_the_time_is_over(tmp_path: Path) -> None:
    path = make_linear(tmp_path / "x.onnx")
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


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to pin"
)
def test_the_main_thread_has_a_cpu_that_no_other_thread_of_the_process_has() -> None:
    code = (
        "import os, threading; from trimtab_trainer.benchmarking import probe; "
        "end = threading.Event(); "
        "workers = [threading.Thread(target=end.wait) for _ in range(3)]; "
        "cpus = probe.pin_process(2); [worker.start() for worker in workers]; "
        "probe.spread_threads(cpus); "
        "own = [os.sched_getaffinity(worker.native_id) for worker in workers]; end.set(); "
        "print(os.sched_getaffinity(0) == {cpus[0]}, own == [{cpus[1]}] * 3)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout.split() == [b"True", b"True"]


def test_with_one_cpu_no_thread_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", None, raising=False)
    probe.spread_threads(())
    probe.spread_threads((3,))
