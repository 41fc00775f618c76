"""Builds searches in which everything happens: early stopping, limits, retries, an earlier job.

Used by the tests of the report; the figures follow a smooth function of the learning rate.
"""

import math
import random
from collections.abc import Mapping
from typing import Any

from report_builder import ReportParts, make_manifest, make_parts
from trimtab_api.reports import (
    EpochReport,
    ImportanceReport,
    NumericsReport,
    RetryReport,
    RunReport,
    TrialFailure,
    TrialReport,
)
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass, TrialState

__all__ = [
    "make_busy_parts",
    "make_busy_report",
    "make_numerics",
    "make_report_of",
    "make_searched",
]

_LIMIT = "params max 200000"
_EPOCHS = 9
_PARAMETERS = [
    {"name": "train.learningRate", "searchSpace": {"logUniform": {"min": 1e-4, "max": 1e-1}}},
    {"name": "train.optimizer", "searchSpace": {"categorical": {"choices": ["AdamW", "SGD"]}}},
    {"name": "train.batchSize", "searchSpace": {"categorical": {"choices": [32, 64, 128]}}},
    {"name": "model.args.width", "searchSpace": {"uniform": {"min": 8, "max": 64, "type": "Int"}}},
    {"name": "train.weightDecay", "searchSpace": {"logUniform": {"min": 1e-5, "max": 1e-1}}},
]


def make_busy_report(count: int = 60, *, slots: int = 4, seed: int = 5) -> RunReport:
    """Return the report of a search in which everything happened that can happen to a trial."""
    return make_report_of(make_busy_parts(count, slots=slots, seed=seed))


def make_report_of(parts: ReportParts) -> RunReport:
    """Return the report of some parts, with the importance of its parameters and cached trials."""
    shares = {
        "train.learningRate": 0.61,
        "model.args.width": 0.22,
        "train.optimizer": 0.09,
        "train.batchSize": 0.05,
        "train.weightDecay": 0.03,
    }
    sizes = {"model.args.width": 0.98, "train.learningRate": 0.02}
    return parts.build().model_copy(
        update={
            "importance": (
                ImportanceReport(metric="accuracy", shares=shares),
                ImportanceReport(metric="params", shares=sizes),
            ),
            "cached_trials": tuple(
                trial.model_copy(update={"state": TrialState.CACHED, "violations": {}})
                for trial in make_searched(12, slots=1, seed=99)
                if trial.values
            ),
        }
    )


def make_busy_parts(count: int, *, slots: int = 4, seed: int = 5) -> ReportParts:
    """Return the parts of a complete run with two objectives, early stopping and a limit."""
    parts = make_parts()
    parts.manifest = make_manifest(
        objectives=[
            {"metric": "accuracy", "direction": "Maximize"},
            {"metric": "params", "direction": "Minimize"},
        ],
        constraints=[
            {"metric": "accuracy", "maxDrop": 0.01},
            {"metric": "params", "max": 200_000},
        ],
    )
    parts.manifest["spec"]["stages"]["search"] = {
        "numTrials": count,
        "parallelTrials": min(slots, count),
        "parameters": _PARAMETERS,
        "earlyStopping": {"metric": "accuracy", "asha": {}},
        "warmStart": {"fromJob": "digits-small", "points": [{"train.learningRate": 0.01}]},
    }
    parts.trials = make_searched(count, slots=slots, seed=seed)
    parts.training = make_numerics()
    return parts


def make_searched(count: int, *, slots: int, seed: int) -> list[TrialReport]:
    """Return ended trials of two starts of a run, each placed in the slot that was free first."""
    generator = random.Random(seed)
    free = dict.fromkeys(range(slots), 0.0)
    attempt, trials = 1, []
    for number in range(count):
        if attempt == 1 and number > 0.6 * count:
            attempt, free = 2, dict.fromkeys(range(slots), 0.0)
        slot = min(free, key=lambda entry: free[entry])
        trial = _make_trial(number, generator)
        placed: dict[str, Any] = {"slot": slot, "start_seconds": free[slot], "attempt": attempt}
        trials.append(trial.model_copy(update=placed))
        free[slot] += trial.seconds + 0.05
    return trials


def _make_trial(number: int, generator: random.Random) -> TrialReport:
    rate = 10 ** generator.uniform(-4, -1)
    parameters: dict[str, float | int | str] = {
        "train.learningRate": rate,
        "train.optimizer": generator.choice(("AdamW", "SGD")),
        "train.batchSize": generator.choice((32, 64, 128)),
        "model.args.width": generator.randint(8, 64),
        "train.weightDecay": 10 ** generator.uniform(-5, -1),
    }
    width = int(parameters["model.args.width"])
    params = 60 * width**2
    distance = abs(math.log10(rate) + 2)
    peak = 0.982 - 0.03 * distance**2.2 - 0.25 / width - generator.uniform(0, 0.006)
    peak = max(0.1, peak - (0.6 if rate > 0.07 else 0))
    epochs = [_make_epoch(epoch, peak) for epoch in range(1, _EPOCHS + 1)]
    outcome = _draw_outcome(number, generator, peak, params)
    kept = epochs[: outcome.pop("epochs", _EPOCHS)]
    fields: dict[str, Any] = {
        "number": number,
        "state": TrialState.SUCCEEDED,
        "parameters": parameters,
        "values": {"accuracy": kept[-1].metrics["accuracy"], "params": params} if kept else {},
        "metrics": {**kept[-1].metrics, "params": params} if kept else {"params": params},
        "intermediate": tuple(kept),
        "seconds": sum(epoch.seconds for epoch in kept) + 0.1,
    }
    return TrialReport(**{**fields, **outcome})


def _draw_outcome(
    number: int, generator: random.Random, peak: float, params: int
) -> dict[str, Any]:
    chance = generator.random()
    excess = {_LIMIT: params - 200_000.0} if params > 200_000 else {}
    if number % 17 == 5:
        message = "loss became nan at step 41"
        failure = TrialFailure(failure_class=FailureClass.DIVERGED, message=message)
        return {"state": TrialState.FAILED, "values": {}, "epochs": 2, "failure": failure}
    if params > 230_000:
        state = TrialState.INFEASIBLE
        return {"state": state, "values": {}, "epochs": 0, "violations": excess}
    if peak < 0.94 + 0.02 * chance:
        epochs = 1 if peak < 0.93 else 3
        return {"state": TrialState.STOPPED, "values": {}, "epochs": epochs}
    if number % 11 == 3:
        retry = RetryReport(
            failure_class=FailureClass.OOM,
            message="out of memory: tried to allocate 2.1 GiB",
            action=FailureAction.SHRINK_BATCH,
        )
        return {"retries": (retry,), "violations": excess}
    return {"violations": excess}


def _make_epoch(epoch: int, peak: float) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        metrics={
            "accuracy": peak - 0.5 * math.exp(-epoch * 0.9),
            "loss": 0.08 + 2.2 * math.exp(-epoch * 0.7),
            "train_loss": 0.02 + 2.3 * math.exp(-epoch * 0.75),
        },
        seconds=0.35,
    )


def make_numerics(changes: Mapping[int, Mapping[str, Any]] | None = None) -> list[EpochReport]:
    """Return the epochs of a training in fp16 that overflowed and went on in bf16.

    Args:
        changes: Epoch → fields of its numerics that differ.
    """
    found: dict[int, dict[str, Any]] = {
        epoch: {"dtype": "fp16", "loss_scale": 65536.0} for epoch in range(1, 7)
    }
    found[2] |= {"loss_scale": 16384.0, "overflows": 2}
    found[3] |= {"loss_scale": 16384.0}
    found[4] |= {"loss_scale": 32768.0}
    found[5] |= {"loss_scale": 4096.0, "overflows": 3}
    found |= {epoch: {"dtype": "bf16"} for epoch in range(7, _EPOCHS + 1)}
    found[7] |= {"fallback_from": "fp16"}
    for epoch, fields in (changes or {}).items():
        found[epoch] = dict(fields)
    return [
        _make_epoch(epoch, 0.978).model_copy(update={"numerics": NumericsReport(**fields)})
        for epoch, fields in found.items()
    ]
