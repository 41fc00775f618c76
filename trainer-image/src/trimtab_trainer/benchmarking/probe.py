"""The measuring process: loads files, runs them in turn, answers in JSON.

Started by `latency` as `python -m trimtab_trainer.benchmarking.probe`, fresh for every question,
so that neither torch nor the caller's memory and threads are in the figures. It measures and
leaves it to the caller to summarize. Reads one request from standard input:
{"mode": "latency" | "memory", "files": {id: path}, "threads", "batch_size", "warmup", "repeats"}.
"""

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trimtab_trainer.benchmarking.runners import OnnxRunner
from trimtab_trainer.errors import ExportFailedError

__all__ = ["answer", "main", "pin_process", "time_in_turn"]

_KIB = 1024


def main() -> None:
    """Answer the request on standard input on standard output."""
    reply = answer(json.load(sys.stdin))
    json.dump(reply, sys.stdout)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what is asked for in this process.

    Args:
        request: See the module's text.

    Returns:
        {"milliseconds": {id: [each run]}, "contention": 0…1 or null}, or {"memory_mib": peak of
        this process}, or {"refused": why the runtime does not take a file}.
    """
    pin_process(request["threads"])
    try:
        runs = {
            name: _make_run(Path(path), request["threads"], request["batch_size"])
            for name, path in request["files"].items()
        }
        if request["mode"] == "memory":
            time_in_turn(runs, repeats=request["repeats"])
            return {"memory_mib": _read_peak_memory_mib()}
        return _measure_latency(runs, request)
    except ExportFailedError as error:
        return {"refused": str(error)}


def pin_process(threads: int) -> None:
    """Keep this process on as many of its CPUs as it has threads, where the platform can.

    The last ones are taken, because the first of a machine also serves its interrupts.
    """
    if sys.platform == "linux":
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-threads:])


def time_in_turn(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, list[float]]:
    """Time functions run by run, so that a slow moment of the machine hits all alike.

    The order turns around after each round, so that none always follows the same other one.

    Args:
        runs: What to time, by name.
        repeats: How often each one runs.
        clock: Nanoseconds.

    Returns:
        Milliseconds of each run.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for _ in range(repeats):
        for name in names:
            start = clock()
            runs[name]()
            milliseconds[name].append((clock() - start) / 1e6)
        names.reverse()
    return milliseconds


def _make_run(path: Path, threads: int, batch_size: int) -> Callable[[], object]:
    runner = OnnxRunner(path, threads)
    inputs = runner.make_inputs(batch_size)
    return lambda: runner.run(inputs)


def _measure_latency(
    runs: Mapping[str, Callable[[], object]], request: Mapping[str, Any]
) -> dict[str, Any]:
    time_in_turn(runs, repeats=request["warmup"])
    gc.collect()
    gc.disable()
    waited, started = _read_waiting_ns(), time.perf_counter_ns()
    milliseconds = time_in_turn(runs, repeats=request["repeats"])
    wall = (time.perf_counter_ns() - started) * request["threads"]
    if waited is None:
        return {"milliseconds": milliseconds, "contention": None}
    waited = (_read_waiting_ns() or waited) - waited
    return {"milliseconds": milliseconds, "contention": min(waited / wall, 1.0)}


def _read_waiting_ns() -> int | None:
    """Time that this process's threads were ready to run and had no CPU, where Linux tells."""
    tasks = Path("/proc/self/task")
    try:
        return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks.iterdir())
    except OSError:
        return None


def _read_peak_memory_mib() -> float:
    # Linux counts the memory of the process that started us into ru_maxrss, so its own figure
    # comes first.
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / _KIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _KIB**2 if sys.platform == "darwin" else peak / _KIB


if __name__ == "__main__":
    main()
