"""The measuring process: loads files, runs them in turn, answers in JSON.

Started by `latency` as `python -m trimtab_trainer.benchmarking.probe`, fresh for every question,
so that neither other runtimes nor the caller's memory and threads are in the figures. It measures
and leaves it to the caller to summarize (`contention` looks at the neighbours). Reads one request
from standard input:
{"mode": "latency" | "memory", "files": {id: path}, "device": "cpu" | "cuda", "threads",
"batch_size", "warmup", "repeats"}.
"""

import contextlib
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking.contention import ContentionMeter
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.benchmarking.runners._base import AbstractRunner
from trimtab_trainer.errors import ExportFailedError

__all__ = ["answer", "main", "pin_process", "spread_threads", "time_in_turn"]

_KIB = 1024
# A model of some microseconds is over before the machine has shown what it is like, so that its
# runs go on for a while: as long as the repeats of a model of 6 ms would last, up to 0.3 s.
_USUAL_RUN_SECONDS = 0.006
_LONGEST_EXTRA_SECONDS = 0.3
_MOST_EXTRA_RUNS = 20_000


def main() -> None:
    """Answer the request on standard input on standard output."""
    reply = answer(json.load(sys.stdin))
    json.dump(reply, sys.stdout)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what is asked for in this process.

    Args:
        request: See the module's text.

    Returns:
        {"milliseconds": {id: [each run]}, "devices": {id: where it ran}, "contention": 0…1 or
        null}, or {"memory_mib": peak of this process}, or {"refused": why the runtime does not
        take a file}.
    """
    cpus = pin_process(request["threads"])
    device = TargetDevice(request["device"])
    try:
        runners = {
            name: open_runner(Path(path), threads=request["threads"], device=device)
            for name, path in request["files"].items()
        }
        runs = {name: _make_run(runner, request["batch_size"]) for name, runner in runners.items()}
        if request["mode"] == "memory":
            time_in_turn(runs, repeats=request["repeats"])
            return {"memory_mib": _read_peak_memory_mib()}
        devices = {name: runner.device.value for name, runner in runners.items()}
        return _measure_latency(runs, request, cpus) | {"devices": devices}
    except ExportFailedError as error:
        return {"refused": str(error)}


def pin_process(threads: int) -> tuple[int, ...]:
    """Keep this process on as many of its CPUs as it has threads, where the platform can.

    The last ones are taken, because the first of a machine also serves its interrupts.

    Returns:
        Numbers of those CPUs; none where the platform cannot.
    """
    if sys.platform != "linux":
        return ()
    cpus = tuple(sorted(os.sched_getaffinity(0))[-threads:])
    os.sched_setaffinity(0, cpus)
    return cpus


def spread_threads(cpus: Collection[int]) -> None:
    """Give the main thread the first CPU alone and the other threads of this process the rest.

    A runtime's threads spin while they wait for each other. Where the scheduler puts two on one
    CPU, one spins for a whole time slice (4 to 12 ms) while the one that it waits for stands in
    line. The calling thread computes too in each runtime, so that a CPU per thread is enough.

    Args:
        cpus: As many as the runtime has threads; with less than two nothing is done.
    """
    main, rest = os.getpid(), sorted(cpus)[1:]
    if not rest:
        return
    others = sorted({int(task.name) for task in Path("/proc/self/task").iterdir()} - {main})
    for index, thread in enumerate(others):
        # Threads of one pool follow each other, so that they get different CPUs.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {rest[index % len(rest)]})
    os.sched_setaffinity(main, {min(cpus)})


def time_in_turn(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    seconds: float = 0.0,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, list[float]]:
    """Time functions run by run, so that a slow moment of the machine hits all alike.

    Each round has an order of its own, drawn with a fixed seed: whatever ran just before has warm
    caches and threads that are awake, and each function shall follow itself and every other one
    equally often.

    Args:
        runs: What to time, by name.
        repeats: How often each one runs at least.
        seconds: How long all together run at least, unless each ran 20,000 times.
        clock: Nanoseconds.

    Returns:
        Milliseconds of each run, equally many of each function.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in runs}
    names, generator = list(runs), np.random.default_rng(0)
    rounds, end = 0, clock() + seconds * 1e9
    while rounds < repeats or (rounds < _MOST_EXTRA_RUNS and clock() < end):
        generator.shuffle(names)
        for name in names:
            start = clock()
            runs[name]()
            milliseconds[name].append((clock() - start) / 1e6)
        rounds += 1
    return milliseconds


def _make_run(runner: AbstractRunner, batch_size: int) -> Callable[[], object]:
    inputs = runner.make_inputs(batch_size)
    return lambda: runner.run(inputs)


def _measure_latency(
    runs: Mapping[str, Callable[[], object]], request: Mapping[str, Any], cpus: Collection[int]
) -> dict[str, Any]:
    # Once at least: the first run starts threads, which must be there to be spread.
    time_in_turn(runs, repeats=max(request["warmup"], 1))
    if len(cpus) == request["threads"]:
        spread_threads(cpus)
    gc.collect()
    gc.disable()
    extra = min(_USUAL_RUN_SECONDS * request["repeats"], _LONGEST_EXTRA_SECONDS)
    meter = ContentionMeter(cpus)
    milliseconds = time_in_turn(runs, repeats=request["repeats"], seconds=extra * len(runs))
    return {"milliseconds": milliseconds, "contention": meter.read()}


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
