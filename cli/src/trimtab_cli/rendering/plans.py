"""What `trimtab plan` prints: the work in a few lines, the expanded job as YAML.

The lines are comments, so the whole output is a manifest again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab_api.defaults import WorkPlan
from trimtab_api.techniques import MOST_CANDIDATES, plan_formats
from trimtab_api.v1alpha1.goals import Target
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.runtime import Device
from trimtab_api.v1alpha1.search import EarlyStopping, Search, WarmStart
from trimtab_cli.rendering.compression_plan import (
    describe_pruning,
    describe_scan,
    describe_techniques,
)
from trimtab_cli.rendering.structured import render_yaml

__all__ = ["describe_plan", "render_children", "render_plan"]

_DEVICES = {
    Device.AUTO: "a GPU where one works, else the CPU",
    Device.CPU: "the CPU",
    Device.CUDA: "a GPU; without one that works the job fails",
}


def describe_plan(job: OptimizationJob, work: WorkPlan) -> dict[str, Any]:
    """Return an expanded job and its work as plain data for programs."""
    return {
        "job": job.model_dump(mode="json", by_alias=True, exclude_none=True),
        "work": {
            "trials": work.trials,
            "epochs": {
                "search": work.search_epochs,
                "train": work.train_epochs,
                "finetune": work.finetune_epochs,
                "total": work.epochs,
            },
            "formats": [entry.value for entry in plan_formats(job.spec)],
            "candidates": list(work.candidates),
            "conditionalCandidates": list(work.conditional),
        },
    }


def render_plan(job: OptimizationJob, work: WorkPlan) -> str:
    """Return an expanded job with its work as text for people."""
    search, train = job.spec.stages.search, job.spec.stages.train
    rows = {
        "trials": [_describe_trials(search, work.trials)],
        "stopping": [_describe_stopping(search.early_stopping)] if search else [],
        "start": [_describe_start(search.warm_start)] if search else [],
        "epochs": [_describe_epochs(job, work)],
        "device": [_DEVICES[job.spec.cluster.device]],
        "workers": [f"{train.num_workers} for each training"] if train else [],
        "pruning": [describe_pruning(job.spec)],
        "sensitivity": [describe_scan(job.spec)],
        "techniques": describe_techniques(job.spec),
        "formats": [", ".join(plan_formats(job.spec))],
        "candidates": [_describe_candidates(work)],
        "targets": [_describe_target(target) for target in job.spec.targets],
    }
    lines = [f"# {job.metadata.name}: what a run does at most; nothing was started"]
    for name, texts in rows.items():
        for index, text in enumerate(filter(None, texts)):
            lines.append(f"# {'' if index else name:<11} {text}")
    return "\n".join(lines) + "\n" + render_yaml(describe_plan(job, work)["job"])


def render_children(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Return manifests as a stream of YAML documents, each under its kind and name."""
    return "---\n".join(
        f"# {manifest['kind']} {manifest['metadata']['name']}\n{render_yaml(manifest)}"
        for manifest in manifests
    )


def _describe_trials(search: Search | None, trials: int) -> str:
    if search is None:
        return "none"
    return f"{trials}, {search.parallel_trials} at once"


def _describe_stopping(stopping: EarlyStopping | None) -> str:
    if stopping is None:
        return ""
    rungs = stopping.asha or stopping.hyperband
    if rungs is not None:
        kind = "ASHA" if stopping.asha else "Hyperband"
        rule = f"from epoch {rungs.min_epochs} on, 1 of {rungs.reduction_factor} goes on at a rung"
    elif stopping.median is not None:
        kind = "median"
        rule = (
            f"from epoch {stopping.median.min_epochs} on, after"
            f" {stopping.median.startup_trials} ended trials"
        )
    else:
        raise ValueError(f"early stopping must have exactly one rule but got {stopping}")
    return f"{kind} on {stopping.metric}: {rule}"


def _describe_start(start: WarmStart) -> str:
    parts = []
    if start.points:
        parts.append(f"{len(start.points)} point(s) first")
    if start.from_job is not None:
        parts.append(f"results of {start.from_job}")
    return ", ".join(parts)


def _describe_epochs(job: OptimizationJob, work: WorkPlan) -> str:
    train = job.spec.stages.train
    tuned = f"fine-tuning {work.finetune_epochs}"
    if train is None:
        return f"{tuned} (no training: the given weights are compressed)"
    if train.steps is not None:
        each = f"{train.steps} steps a training instead of epochs"
        return f"{each}, {tuned}"
    final = "0 (the best trial's weights are taken)" if work.trials else str(work.train_epochs)
    return f"{work.epochs}: search {work.search_epochs}, train {final}, {tuned}"


def _describe_candidates(work: WorkPlan) -> str:
    text = f"{len(work.candidates)}: {', '.join(work.candidates)}"
    if not work.conditional:
        return text
    count = min(MOST_CANDIDATES, len(work.candidates) + len(work.conditional))
    return f"{text}; where linear layers lead {count}, with {', '.join(work.conditional)}"


def _describe_target(target: Target) -> str:
    return (
        f"{target.name}: {target.profile}, {target.runtime} on {target.device},"
        f" threads {target.threads}, batch {target.batch_size}, prefers {target.prefer}"
    )
