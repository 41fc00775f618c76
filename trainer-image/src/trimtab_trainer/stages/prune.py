"""Stage prune: cut, fine-tune, undo what breaks the budget, export and judge what is left."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from typing_extensions import override

from trimtab_api.reports import PrunedLayerReport, PruneStepReport
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.techniques import DENSE, PRUNED
from trimtab_api.v1alpha1.prune import Allocation, Granularity, Prune
from trimtab_api.wording import render_distance, render_share
from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.models.globs import WRAPPER_PREFIX
from trimtab_trainer.pruning.iteration import StepResult
from trimtab_trainer.pruning.sensitivity import LayerScanned
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import (
    add_candidate,
    find_candidate,
    restore_candidates,
    settle_lineage,
)
from trimtab_trainer.stages._files import Recipe
from trimtab_trainer.stages._memory import shrink_until_it_fits
from trimtab_trainer.stages._prune_work import PruneEvent, Tuned, prune_checkpoint
from trimtab_trainer.training.checkpoint import load_checkpoint

__all__ = ["PruneStage"]


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
            "targets": [target.model_dump(mode="json") for target in spec.targets],
        }

    @override
    def run(self, run: Run) -> StageResult:
        spec, ledger = run.final_spec, run.require_ledger()
        if spec.stages.prune is None or spec.stages.prune.amount is None:
            profile = spec.targets[0].profile
            return StageResult(
                state=StageState.SKIPPED,
                reason=StageReason.BY_PROFILE,
                message=f"profile {profile} prunes nothing; stages.prune.amount asks for it",
            )
        allowance = ledger.allowance(self.name, followed=spec.stages.quantize is not None)
        folder = run.context.checkpoints / "prune"
        run.prune_steps = []
        outcome = shrink_until_it_fits(
            run,
            lambda shrinks: run.call(
                prune_checkpoint,
                spec=spec,
                checkpoint=run.checkpoint,
                folder=folder,
                ledger=ledger,
                allowance=allowance,
                shrinks=shrinks,
                on_progress=lambda event: self._follow(run, event),
            ),
        )
        run.pruned_layers = list(outcome["layers"])
        if not outcome["step"]:
            return self._undone(run, allowance)
        return self._judge(run)

    def _follow(self, run: Run, event: PruneEvent) -> None:
        prune = _require_prune(run)
        steps = prune.schedule.steps
        # Measuring all layers is the first unit of work, each step is one more.
        scans = int(prune.allocation is Allocation.SENSITIVITY)
        match event:
            case LayerScanned(curve, done, total):
                layer = curve.layer.removeprefix(WRAPPER_PREFIX)
                progress = StageProgress(
                    self.name,
                    done / total,
                    scans + steps,
                    f"measured layer {done} of {total}: {layer}",
                )
            case Tuned(step, epoch):
                progress = StageProgress(
                    self.name,
                    scans + step - 1 + epoch.epoch / (epoch.epochs + 1),
                    scans + steps,
                    f"step {step} of {steps}, fine-tuning epoch {epoch.epoch}/{epoch.epochs}",
                    dict(epoch.metrics),
                )
            case StepResult():
                # Work whose process was lost begins again.
                run.prune_steps = [step for step in run.prune_steps if step.step < event.step]
                run.prune_steps.append(_report_step(event))
                progress = StageProgress(
                    self.name,
                    scans + event.step,
                    scans + steps,
                    f"step {event.step} of {steps}: {_describe_step(event, prune)}",
                    dict(event.metrics),
                )
            case _:
                assert_never(event)
        run.reporter.publish(progress)

    def _undone(self, run: Run, allowance: float | None) -> StageResult:
        if not run.prune_steps:
            return StageResult(
                reason=StageReason.NO_GAIN,
                message="no channel can be cut at this amount and rounding",
                data=self._data(run),
            )
        ledger = run.require_ledger()
        first = run.prune_steps[0].metrics.get(ledger.metric)
        found = (
            "diverges"
            if first is None
            else f"makes {ledger.metric} {render_distance(ledger.metric, ledger.drop(first))} worse"
        )
        spend = (
            ""
            if allowance is None
            else f", prune may spend {render_distance(ledger.metric, allowance)}"
        )
        return StageResult(
            reason=StageReason.BUDGET_EXCEEDED,
            message=f"undone: the first step {found}{spend}; the dense model is kept",
            data=self._data(run),
        )

    def _judge(self, run: Run) -> StageResult:
        run.pruned_checkpoint = run.context.checkpoints / "prune"
        details = {"steps": sum(step.kept for step in run.prune_steps)}
        candidate = add_candidate(run, Recipe(PRUNED, PRUNED), stage=self.name, details=details)
        if candidate.reason is None:
            settle_lineage(run, candidate)
        dense = run.baseline.metrics if run.baseline else candidate.metrics
        reduction = 1 - candidate.metrics["flops"] / dense["flops"]
        static = {name: candidate.metrics[name] for name in ("params", "flops", "sparsity")}
        smaller = 1 - candidate.metrics["params"] / dense["params"]
        removed = (
            f"{render_share(reduction)} of the FLOPs and {render_share(smaller)} of the parameters"
            " removed"
            if smaller > 0
            else f"{render_share(static['sparsity'])} of the weights are zero"
        )
        ends = _describe_ends(run.prune_steps, _require_prune(run).schedule.steps)
        return StageResult(
            reason=candidate.reason,
            message=candidate.rejected or "; ".join([removed, *ends]),
            metrics={"flops_reduction": reduction, **static},
            artifact=candidate.artifact,
            data=self._data(run),
        )

    def _data(self, run: Run) -> dict[str, Any]:
        candidate = find_candidate(run, PRUNED)
        checkpoint = run.pruned_checkpoint
        return {
            "steps": [step.model_dump(mode="json") for step in run.prune_steps],
            "layers": [layer.model_dump(mode="json") for layer in run.pruned_layers],
            "checkpoint": run.context.relative(checkpoint) if checkpoint else None,
            "candidates": [candidate.model_dump(mode="json")] if candidate else [],
        }

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.prune_steps = [PruneStepReport.model_validate(step) for step in data.get("steps", [])]
        run.pruned_layers = [
            PrunedLayerReport.model_validate(layer) for layer in data.get("layers", [])
        ]
        checkpoint = data.get("checkpoint")
        run.pruned_checkpoint = run.context.root / checkpoint if checkpoint else None
        restore_candidates(run, data)
        candidate = find_candidate(run, PRUNED)
        if candidate is not None and candidate.reason is None:
            settle_lineage(run, candidate)

    @override
    def is_intact(self, run: Run, data: dict[str, Any]) -> bool:
        if data.get("checkpoint") is not None:
            try:
                load_checkpoint(run.context.root / data["checkpoint"])
            except CheckpointRefusedError:
                return False
        return super().is_intact(run, data)


def _require_prune(run: Run) -> Prune:
    prune = run.final_spec.stages.prune
    if prune is None:
        raise ValueError("only a spec with stages.prune can be pruned")
    return prune


def _describe_step(step: StepResult, prune: Prune) -> str:
    if prune.granularity is Granularity.WEIGHTS:
        removed = f"{render_share(step.sparsity)} of the weights are zero"
    else:
        removed = f"{render_share(step.ratio)} of the channels removed"
    return f"{removed}, {'kept' if step.kept else f'undone: {_name_fault(step.metrics)}'}"


def _describe_ends(steps: Sequence[PruneStepReport], planned: int) -> list[str]:
    """Say why fewer steps were kept than planned: one was undone, or rounding left it nothing."""
    undone = [step for step in steps if not step.kept]
    if undone:
        return [f"step {undone[0].step} undone: {_name_fault(undone[0].metrics)}"]
    idle = planned - len(steps)
    if not idle:
        return []
    return [f"{idle} of {planned} steps had nothing to remove, as widths are rounded"]


def _name_fault(metrics: Mapping[str, float]) -> str:
    return "it breaks the budget" if metrics else "it diverged"


def _report_step(result: StepResult) -> PruneStepReport:
    return PruneStepReport(
        step=result.step,
        ratio=result.ratio,
        params=result.params,
        flops=result.flops,
        sparsity=result.sparsity,
        metrics=dict(result.metrics),
        kept=result.kept,
    )
