"""Stage train: the dense model, trained with the best recipe.

Where the search already trained exactly this recipe with this seed, its weights are taken:
training again would repeat them and cost as much as a trial.
"""

from pathlib import Path
from typing import Any

from typing_extensions import override

from trimtab_api.reports import EpochReport
from trimtab_api.stages import StageName, StageState
from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._work import fit, report_epoch
from trimtab_trainer.training.checkpoint import load_checkpoint
from trimtab_trainer.training.loop import EpochResult

__all__ = ["TrainStage"]


class TrainStage(AbstractStage):
    """Leaves the checkpoint of the dense model."""

    name = StageName.TRAIN

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        if run.job.spec.stages.train is None:
            return None
        spec = run.final_spec
        return {
            "seed": spec.seed,
            "model": spec.model.model_dump(mode="json"),
            "dataset": spec.dataset.model_dump(mode="json"),
            "digest": run.require_facts().digest,
            "task": spec.task.model_dump(mode="json"),
            "train": spec.stages.train.model_dump(mode="json") if spec.stages.train else None,
        }

    @override
    def run(self, run: Run) -> StageResult:
        taken = self._take_from_search(run)
        if taken is not None:
            return taken
        folder = run.context.checkpoints / "train"
        done: list[EpochReport] = []

        def follow(result: EpochResult) -> None:
            done.append(report_epoch(result))
            run.reporter.publish(
                StageProgress(
                    StageName.TRAIN, result.epoch, result.epochs, "epoch", dict(result.metrics)
                )
            )

        metrics = run.call(fit, spec=run.final_spec, folder=folder, on_progress=follow)
        return self._finish(run, folder, metrics, done, f"{len(done)} epochs")

    def _take_from_search(self, run: Run) -> StageResult | None:
        best = run.best
        trial = next((entry for entry in run.trials if best and entry.number == best.trial), None)
        if trial is None:
            return None
        folder = run.trial_checkpoint(trial.number)
        try:
            load_checkpoint(folder)
        except CheckpointRefusedError as error:
            run.warn(f"weights of trial {trial.number} are refused, training again: {error}")
            return None
        message = f"weights of trial {trial.number}: same recipe, data and seed"
        return self._finish(run, folder, trial.metrics, list(trial.intermediate), message)

    def _finish(
        self,
        run: Run,
        folder: Path,
        metrics: dict[str, float],
        epochs: list[EpochReport],
        message: str,
    ) -> StageResult:
        artifact = run.context.relative(folder)
        data = {
            "checkpoint": artifact,
            "training": [epoch.model_dump(mode="json") for epoch in epochs],
        }
        self.restore(run, data)
        return StageResult(
            state=StageState.SUCCEEDED,
            message=message,
            metrics=dict(metrics),
            artifact=artifact,
            data=data,
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.checkpoint = run.context.root / data["checkpoint"]
        run.training = [EpochReport.model_validate(epoch) for epoch in data["training"]]

    @override
    def is_intact(self, run: Run, data: dict[str, Any]) -> bool:
        try:
            load_checkpoint(run.context.root / data["checkpoint"])
        except CheckpointRefusedError:
            return False
        return True
