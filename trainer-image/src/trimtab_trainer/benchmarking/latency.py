"""How fast files run side by side, and what memory each needs.

Called by the gates and by stage benchmark with all files that are to be compared at once. The
measuring itself happens in fresh processes (`probe`); what follows from the figures, a speedup or
a rejection, is left to the caller.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.errors import ExportFailedError, TargetUnmeasuredError

__all__ = ["Measurement", "measure"]

_MEMORY_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """Figures of one file."""

    latency_p50_ms: float
    latency_p95_ms: float
    throughput_per_s: float
    """Samples per second of the median run: a mean would tell of the few runs that other programs
    held up, which last a thousand times as long as a small model."""
    memory_mib: float
    """Largest resident memory of a process that runs only this file, the runtime included."""
    contention: float | None
    """Share of its CPUs' time that other programs took from the timing process, 0…1; None where
    the platform does not tell. It is one figure for all files timed together."""
    device: str
    """Where the runtime computed, `cpu` or `cuda`, whatever was asked for."""


def measure(
    files: Mapping[str, Path],
    *,
    device: TargetDevice = TargetDevice.CPU,
    threads: int,
    batch_size: int,
    warmup: int,
    repeats: int,
    timeout_seconds: float,
) -> dict[str, Measurement]:
    """Measure files side by side on this machine, each in the runtime that takes it.

    One fresh process, kept on as many CPUs as it has threads, loads all files and runs them in
    turn, run by run. Then each file gets a process of its own for its memory.

    Args:
        files: Paths by any name, at least one: .onnx, .pt2 or the .xml of an IR.
        device: Where to compute, if the runtime can.
        threads: Threads inside an operator.
        batch_size: Samples per run, random values in 0…1.
        warmup: Runs of each file that are not counted; at least one is made.
        repeats: Runs of each file that are counted, at least one. Quick models run on until 6 ms
            per repeat, but no more than 0.3 s, have passed for each file.
        timeout_seconds: Limit over everything.

    Returns:
        Figures by the names given, in the same order.

    Raises:
        ExportFailedError: The runtime refuses a file.
        TargetUnmeasuredError: The time was over, or the measuring process died.
    """
    deadline = time.monotonic() + timeout_seconds
    request = {
        "mode": "latency",
        "files": {name: str(path) for name, path in files.items()},
        "device": device.value,
        "threads": threads,
        "batch_size": batch_size,
        "warmup": warmup,
        "repeats": repeats,
    }
    timing = _ask(request, deadline)
    memory = {name: _measure_memory(request, name, path, deadline) for name, path in files.items()}
    medians = {name: float(np.median(runs)) for name, runs in timing["milliseconds"].items()}
    return {
        name: Measurement(
            latency_p50_ms=medians[name],
            latency_p95_ms=float(np.percentile(runs, 95)),
            throughput_per_s=1000 * batch_size / medians[name],
            memory_mib=memory[name],
            contention=timing["contention"],
            device=timing["devices"][name],
        )
        for name, runs in timing["milliseconds"].items()
    }


def _measure_memory(request: Mapping[str, Any], name: str, path: Path, deadline: float) -> float:
    alone = {"mode": "memory", "files": {name: str(path)}, "repeats": _MEMORY_REPEATS}
    return float(_ask({**request, **alone}, deadline)["memory_mib"])


def _ask(request: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    names = ", ".join(request["files"])
    try:
        process = subprocess.run(
            [sys.executable, "-m", "trimtab_trainer.benchmarking.probe"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=max(deadline - time.monotonic(), 0.0),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TargetUnmeasuredError(
            f"measuring {request['mode']} of {names} did not end within benchmark.timeoutSeconds"
        ) from error
    if process.returncode != 0:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise TargetUnmeasuredError(
            f"measuring {request['mode']} of {names} ended with code {process.returncode}: "
            f"{last[:160]}"
        )
    reply: dict[str, Any] = json.loads(process.stdout)
    if "refused" in reply:
        raise ExportFailedError(reply["refused"])
    return reply
