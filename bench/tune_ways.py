"""Trials under Ray Tune with Optuna's TPE: as it comes, and with actors that are used again.

Called by the overhead benchmark. Ray runs before any time is taken; Tune's own loggers and
checkpoints are left as they are by default.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import optuna
import ray
from optuna.samplers import TPESampler
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from bench.sleeping_trial import RATE, SHARE, Measured, RunTrials, Stamp, sleep_and_score

__all__ = ["DEFAULT", "REUSE", "host_tune"]

DEFAULT = "Ray Tune"
REUSE = "Ray Tune, reuse_actors"

_OBJECT_STORE_BYTES = 128 * 2**20


@contextmanager
def host_tune(workers: int) -> Iterator[Mapping[str, RunTrials]]:
    """Start Ray with a core for each worker."""
    # Without it Tune draws a table into the benchmark's output, however quiet it is told to be.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ray.init(
        address="local",
        num_cpus=workers,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield {DEFAULT: _run_default, REUSE: _run_reusing}
    finally:
        ray.shutdown()


def _run_default(trials: int, seconds: float, workers: int) -> Measured:
    return _fit(trials, seconds, workers, reuse_actors=False)


def _run_reusing(trials: int, seconds: float, workers: int) -> Measured:
    return _fit(trials, seconds, workers, reuse_actors=True)


def _train(config: dict[str, float]) -> None:
    tune.report(sleep_and_score(config[RATE], config[SHARE], config["seconds"]))


def _fit(trials: int, seconds: float, workers: int, *, reuse_actors: bool) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        tuner = tune.Tuner(
            _train,
            param_space={
                RATE: tune.loguniform(1e-4, 1),
                SHARE: tune.uniform(0, 1),
                "seconds": seconds,
            },
            tune_config=tune.TuneConfig(
                num_samples=trials,
                max_concurrent_trials=workers,
                reuse_actors=reuse_actors,
                search_alg=OptunaSearch(metric="loss", mode="min", sampler=TPESampler(seed=0)),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        wall = time.monotonic() - start
    if results.errors:
        raise RuntimeError(f"no trial of Ray Tune may fail but: {results.errors[0]}")
    frame = results.get_dataframe()
    stamps = [Stamp(*times) for times in zip(frame["begin"], frame["end"], strict=True)]
    return Measured(stamps, wall, workers)
