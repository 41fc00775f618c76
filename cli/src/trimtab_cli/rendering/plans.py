"""What `trimtab plan` prints: the work in a few lines, the expanded job as YAML.

The lines are comments, so the whole output is a manifest again.
"""

from typing import Any

from trimtab_api.defaults import WorkPlan
from trimtab_api.v1alpha1.goals import Target
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_cli.rendering.structured import render_yaml

__all__ = ["describe_plan", "render_plan"]


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
            "candidates": list(work.candidates),
        },
    }


def render_plan(job: OptimizationJob, work: WorkPlan) -> str:
    """Return an expanded job with its work as text for people."""
    targets = "; ".join(_describe_target(target) for target in job.spec.targets)
    rows = {
        "trials": str(work.trials) if work.trials else "none",
        "epochs": _describe_epochs(job, work),
        "candidates": f"{len(work.candidates)}: {', '.join(work.candidates)}",
        "targets": targets,
    }
    lines = [f"# {job.metadata.name}: what a run does at most; nothing was started"]
    lines += [f"# {name:<11} {text}" for name, text in rows.items()]
    return "\n".join(lines) + "\n" + render_yaml(describe_plan(job, work)["job"])


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


def _describe_target(target: Target) -> str:
    return (
        f"{target.name} ({target.profile}, threads {target.threads},"
        f" batch {target.batch_size}, prefers {target.prefer})"
    )
