"""A whole job of Trimtab for the benchmark of compression: its manifest, its run, what it ships.

The run is that of the command `trimtab run`, in a process of its own. The rivals start from the
dense weights that it leaves and fine-tune by the recipe of its manifest.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn

from trimtab_api.defaults import DETECTED_PROFILE, expand_job
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.status import Status
from trimtab_api.validation import parse_job
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.task import Classification
from trimtab_trainer.stages._fit import make_recipe
from trimtab_trainer.training.checkpoint import load_checkpoint
from trimtab_trainer.training.loop import train
from trimtab_trainer.training.seeding import seed_everything

__all__ = ["MAX_DROP", "Plan", "Shipped", "finetune", "load_data", "load_dense", "run_trimtab"]

_ROOT = Path(__file__).parents[1]
_SEED = 1
_RATE, _FINETUNE_RATE = 2e-3, 1e-3
_TARGET = "edge"
_CHECKPOINT = Path("checkpoints", "train")
_USABLE_EXITS = (0, 3)
"""Goals met, and goals missed: something ships either way."""

MAX_DROP = 0.01
"""Accuracy that a file may lose against the dense fp32 one, on the validation split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is compressed and how long it is trained."""

    builtin: str
    """Network, as in `model.builtin`."""
    dataset: Mapping[str, Any]
    """As in the manifest."""
    epochs: int
    """Of the dense training."""
    steps: int
    """Of pruning."""
    finetune_epochs: int
    """After each step."""
    params_reduction: float
    """Share of the parameters that our pruning aims at; a step that breaks the budget is undone."""
    repeats: int
    """Timed runs of each file."""
    calibration_samples: int

    @property
    def job(self) -> OptimizationJob:
        """Return it as a manifest has it."""
        spec = {
            "seed": _SEED,
            "model": {"builtin": self.builtin},
            "dataset": dict(self.dataset),
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "constraints": [
                {"metric": "accuracy", "maxDrop": MAX_DROP},
                {"metric": "speedup", "min": 1},
            ],
            "targets": [{"name": _TARGET, "profile": "cpu-edge", "threads": 1, "prefer": "Size"}],
            "stages": {
                "train": {"epochs": self.epochs, "batchSize": 128, "learningRate": _RATE},
                "prune": {
                    "importance": "Taylor",
                    "allocation": "Sensitivity",
                    "amount": {"paramsReduction": self.params_reduction},
                    "maxLayerRatio": 0.9,
                    "schedule": {"steps": self.steps},
                    "finetune": {"epochs": self.finetune_epochs, "learningRate": _FINETUNE_RATE},
                },
                "quantize": {"calibration": {"samples": self.calibration_samples}},
                "benchmark": {"repeats": self.repeats},
            },
        }
        return parse_job(
            {
                "apiVersion": "trimtab.dev/v1alpha1",
                "kind": "OptimizationJob",
                "metadata": {"name": self.builtin.rpartition("/")[2].replace("_", "-")},
                "spec": spec,
            }
        )

    @property
    def spec(self) -> Spec:
        """Return the spec with every computed default."""
        cores = len(os.sched_getaffinity(0))
        return expand_job(self.job, cores=cores, detected=DETECTED_PROFILE).spec


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a run left."""

    dense: Path
    """The dense fp32 file."""
    file: Path
    """What ships."""
    candidate: str
    """Its id."""
    seconds: Mapping[str, float]
    """Time of each stage."""


def run_trimtab(plan: Plan, folder: Path) -> Shipped:
    """Run the job; its progress goes to the standard error.

    Args:
        plan: The job.
        folder: Where manifest and run folder go.

    Raises:
        SystemExit: The job failed.
    """
    manifest, root = folder / "job.yaml", folder / "run"
    document = plan.job.model_dump(mode="json", by_alias=True, exclude_none=True)
    # JSON is YAML too.
    manifest.write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, "-m", "trimtab_cli", "run", str(manifest), "--output", str(root)]
    ended = subprocess.run(command, cwd=_ROOT, stdout=sys.stderr, check=False)
    if ended.returncode not in _USABLE_EXITS:
        raise SystemExit(f"trimtab run must succeed but ended with code {ended.returncode}")
    text = (root / "report.json").read_text(encoding="utf-8")
    report = RunReport.model_validate_json(text)
    if report.baseline is None or report.status.result is None:
        raise SystemExit("trimtab run must ship a file but its report names none")
    result = report.status.result
    return Shipped(
        dense=root / report.baseline.artifact,
        file=root / result.artifact,
        candidate=result.candidate,
        seconds=dict(_time_stages(report.status)),
    )


def _time_stages(status: Status) -> Iterator[tuple[str, float]]:
    for stage in status.stages:
        if stage.start_time and stage.completion_time:
            start, end = map(datetime.fromisoformat, (stage.start_time, stage.completion_time))
            yield stage.name, (end - start).total_seconds()


def load_data(plan: Plan) -> DataBundle:
    """Return the data that the job sees, split as there."""
    spec = plan.spec
    return load_dataset(spec.dataset, seed=spec.seed, code_dir=_ROOT, data_root=_ROOT)


def load_dense(plan: Plan, data: DataBundle, folder: Path) -> nn.Module:
    """Return the dense network with the weights that the job trained.

    Args:
        plan: The job.
        data: Its data.
        folder: As `run_trimtab` had it.
    """
    spec = plan.spec
    seed_everything(spec.seed)
    model = build_model(spec.model, data=data, image_size=None, code_dir=_ROOT, data_root=_ROOT)
    state, _ = load_checkpoint(folder / "run" / _CHECKPOINT)
    model.load_state_dict(state)
    return model


def finetune(plan: Plan, model: nn.Module, data: DataBundle, step: int) -> None:
    """Train a cut network in place, as the job does after a step of its pruning.

    Args:
        plan: The job.
        model: The network.
        data: The job's data.
        step: Counted from 1; each step sees the samples in another order.
    """
    spec = plan.spec
    recipe = replace(make_recipe(spec), epochs=plan.finetune_epochs, learning_rate=_FINETUNE_RATE)
    for _ in train(model, data=data, task=Classification(), recipe=recipe, seed=spec.seed + step):
        pass
