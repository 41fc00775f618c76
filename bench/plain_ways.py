"""Trials in a plain loop over Optuna's TPE: in this process, or each in a process of its own.

Called by the overhead benchmark: the first is the least that a search can cost, the second what
a trial costs that starts Python and imports torch.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.samplers import TPESampler

from bench.sleeping_trial import (
    DISTRIBUTIONS,
    RATE,
    SHARE,
    Measured,
    RunTrials,
    Stamp,
    sleep_and_score,
)

__all__ = ["LOOP", "PROCESSES", "host_plain"]

LOOP = "plain loop"
PROCESSES = "process a trial"

_SCRIPT = """
import json, sys
import torch
from bench.sleeping_trial import sleep_and_score
print(json.dumps(sleep_and_score(*map(float, sys.argv[1:]))))
"""

_Trial = Callable[[float, float, float], dict[str, float]]


@contextmanager
def host_plain(_: int) -> Iterator[Mapping[str, RunTrials]]:
    """Start nothing: these ways have one worker."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield {LOOP: _make_way(sleep_and_score), PROCESSES: _make_way(_run_process)}


def _make_way(trial: _Trial) -> RunTrials:
    def run(trials: int, seconds: float, workers: int) -> Measured:
        return _run_loop(trial, trials, seconds, workers)

    return run


def _run_loop(trial: _Trial, trials: int, seconds: float, workers: int) -> Measured:
    if workers != 1:
        raise ValueError(f"a plain loop has one worker but got {workers}")
    start = time.monotonic()
    study = optuna.create_study(sampler=TPESampler(seed=0))
    stamps = []
    for _ in range(trials):
        asked = study.ask(DISTRIBUTIONS)
        result = trial(asked.params[RATE], asked.params[SHARE], seconds)
        stamps.append(Stamp(result["begin"], result["end"]))
        study.tell(asked, result["loss"])
    return Measured(stamps, time.monotonic() - start, workers)


def _run_process(rate: float, share: float, seconds: float) -> dict[str, float]:
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(rate), str(share), str(seconds)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, float] = json.loads(ended.stdout)
    return result
