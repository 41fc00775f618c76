"""Stage prune: cut, fine-tune, undo what breaks the budget, export and judge what is left."""

from typing import Any

from typing_extensions import override

from trimtab_api.reports import PruneStepReport
from trimtab_api.stages import StageName, StageReason
from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.pruning.iteration import StepResult
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import (
    DENSE,
    add_candidate,
    file_path,
    find_candidate,
    restore_candidates,
    settle_lineage,
)
from trimtab_trainer.stages._prune_work import prune_checkpoint
from trimtab_trainer.stages._work import export_checkpoint
from trimtab_trainer.training.checkpoint import load_checkpoint
from trimtab_trainer.training.loop import EpochResult

__all__ = ["PruneStage"]

_NAME = "pruned"


class PruneStage(AbstractStage):
    """Leaves the pruned checkpoint and its candidate."""

    name = StageName.PRUNE

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        spec = run.final_spec
        if spec.stages.prune is None:
            return None
        dense = find_candidate(run, DENSE)
        return {
            "dense": dense.digest if dense else None,
            "prune": spec.stages.prune.model_dump(mode="json"),
            "constraints": [entry.model_dump(mode="json") for entry in spec.constraints],
            "quantize": spec.stages.quantize is not None,
        }

    @override
    def run(self, run: Run) -> StageResult:
        spec, ledger = run.final_spec, run.require_ledger()
        allowance = ledger.allowance(self.name, followed=spec.stages.quantize is not None)
        folder = run.context.checkpoints / "prune"
        run.prune_steps = []
        kept = run.call(
            prune_checkpoint,
            spec=spec,
            checkpoint=run.checkpoint,
            folder=folder,
            ledger=ledger,
            allowance=allowance,
            on_progress=lambda event: self._follow(run, event),
        )
        if not kept:
            return self._undone(run, allowance)
        return self._judge(run)

    def _follow(self, run: Run, event: EpochResult | StepResult) -> None:
        prune = run.final_spec.stages.prune
        steps = prune.schedule.steps if prune else 1
        done = len(run.prune_steps)
        if isinstance(event, EpochResult):
            share = done + event.epoch / (event.epochs + 1)
            message = f"step {done + 1} of {steps}, fine-tuning epoch {event.epoch}/{event.epochs}"
        else:
            # Work whose process was lost begins again.
            run.prune_steps = [step for step in run.prune_steps if step.step < event.step]
            run.prune_steps.append(_report_step(event))
            share, steps = event.step, event.steps
            verdict = "kept" if event.kept else "undone: it breaks the budget"
            message = (
                f"step {event.step} of {event.steps}: {event.ratio:.0%} of the channels, {verdict}"
            )
        run.reporter.publish(StageProgress(self.name, share, steps, message, dict(event.metrics)))

    def _undone(self, run: Run, allowance: float | None) -> StageResult:
        if not run.prune_steps:
            return StageResult(
                reason=StageReason.NO_GAIN,
                message="no channel can be cut at this amount and rounding",
                data=self._data(run),
            )
        ledger = run.require_ledger()
        drop = ledger.drop(run.prune_steps[0].metrics[ledger.metric])
        return StageResult(
            reason=StageReason.BUDGET_EXCEEDED,
            message=f"undone: the first step drops {ledger.metric} by {drop:.4f},"
            f" prune may spend {allowance:g}; the dense model is kept",
            data=self._data(run),
        )

    def _judge(self, run: Run) -> StageResult:
        run.pruned_checkpoint = run.context.checkpoints / "prune"
        exported = run.call(
            export_checkpoint,
            spec=run.final_spec,
            checkpoint=run.pruned_checkpoint,
            path=file_path(run, _NAME),
        )
        candidate = add_candidate(
            run,
            name=_NAME,
            stage=self.name,
            parent=find_candidate(run, DENSE),
            file=exported["file"],
            static=exported["static"],
            details={"steps": sum(step.kept for step in run.prune_steps)},
        )
        if candidate.reason is None:
            settle_lineage(run, candidate)
        dense = run.baseline.metrics if run.baseline else candidate.metrics
        reduction = 1 - candidate.metrics["flops"] / dense["flops"]
        return StageResult(
            reason=candidate.reason,
            message=candidate.rejected or f"{reduction:.0%} of the FLOPs removed",
            metrics={"flops_reduction": reduction, **exported["static"]},
            artifact=candidate.artifact,
            data=self._data(run),
        )

    def _data(self, run: Run) -> dict[str, Any]:
        candidate = find_candidate(run, _NAME)
        checkpoint = run.pruned_checkpoint
        return {
            "steps": [step.model_dump(mode="json") for step in run.prune_steps],
            "checkpoint": run.context.relative(checkpoint) if checkpoint else None,
            "candidates": [candidate.model_dump(mode="json")] if candidate else [],
        }

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.prune_steps = [PruneStepReport.model_validate(step) for step in data["steps"]]
        checkpoint = data["checkpoint"]
        run.pruned_checkpoint = run.context.root / checkpoint if checkpoint else None
        restore_candidates(run, data)
        candidate = find_candidate(run, _NAME)
        if candidate is not None and candidate.reason is None:
            settle_lineage(run, candidate)

    @override
    def is_intact(self, run: Run, data: dict[str, Any]) -> bool:
        if data["checkpoint"] is not None:
            try:
                load_checkpoint(run.context.root / data["checkpoint"])
            except CheckpointRefusedError:
                return False
        return super().is_intact(run, data)


def _report_step(result: StepResult) -> PruneStepReport:
    return PruneStepReport(
        step=result.step,
        ratio=result.ratio,
        params=result.params,
        flops=result.flops,
        metrics=dict(result.metrics),
        kept=result.kept,
    )
