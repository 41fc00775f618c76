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
from trimtab_trainer.reporting._base import (
    CheckpointRefused,
    PrecisionFallback,
    StageProgress,
    StageStarted,
)
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._fit import (
    CheckpointNotice,
    FitEvent,
    GoingOn,
    fit,
    unfinished,
)
from trimtab_trainer.stages._memory import shrink_until_it_fits
from trimtab_trainer.storage.filesystem import discard
from trimtab_trainer.training.checkpoint import load_checkpoint
from trimtab_trainer.training.loop import StepProgress

__all__ = ["TrainStage"]


class _Course:
    """The epochs of the training, as they come."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.epochs: list[EpochReport] = []
        self._repeated = 0
        """The last of the epochs that are told again; 0 = none are."""

    def follow(self, event: FitEvent) -> None:
        """Take what the training yields, and tell it."""
        if isinstance(event, CheckpointNotice):
            self._run.reporter.publish(CheckpointRefused(event.message))
        elif isinstance(event, GoingOn):
            self._repeated = event.epoch
            self._run.reporter.publish(StageStarted(StageName.TRAIN, event.epochs, event.epoch))
        elif isinstance(event, EpochReport):
            # A training that goes on repeats the epochs before.
            self.epochs = [known for known in self.epochs if known.epoch < event.epoch]
            self.epochs.append(event)
            if event.epoch > self._repeated:
                self._publish_epoch(event)
            elif event.epoch == self._repeated:
                self._repeated = 0
        elif isinstance(event, StepProgress):
            done = len(self.epochs) + event.step / event.steps
            self._run.reporter.publish(StageProgress(StageName.TRAIN, done, self._total()))

    def _total(self) -> int | None:
        """The number of epochs; None where the length is given in steps."""
        train = self._run.final_spec.stages.train
        return train.epochs if train else None

    def _publish_epoch(self, epoch: EpochReport) -> None:
        total = self._total()
        message = f"epoch {epoch.epoch}" + (f"/{total}" if total else "")
        self._run.reporter.publish(
            StageProgress(StageName.TRAIN, epoch.epoch, total, message, dict(epoch.metrics))
        )
        numerics = epoch.numerics
        if numerics is not None and numerics.fallback_from is not None:
            self._run.reporter.publish(
                PrecisionFallback("train", numerics.fallback_from, numerics.dtype)
            )


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
        course = _Course(run)
        metrics: dict[str, float] = shrink_until_it_fits(
            run,
            lambda shrinks: run.call(
                fit,
                spec=run.final_spec,
                folder=folder,
                shrinks=shrinks,
                as_team=run.executor.workers_per_slot > 1,
                on_progress=course.follow,
            ),
        )
        discard(unfinished(folder))
        run.fetch(folder)
        return self._finish(run, folder, metrics, course.epochs, f"{len(course.epochs)} epochs")

    def _take_from_search(self, run: Run) -> StageResult | None:
        best = run.best
        trial = next((entry for entry in run.trials if best and entry.number == best.trial), None)
        if trial is None:
            return None
        folder = run.trial_checkpoint(trial.number)
        run.fetch(folder)
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
