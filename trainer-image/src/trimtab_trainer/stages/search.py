"""Stage search: trials on every slot, each recorded in the trial log before the next is asked for.

The weights of the best trial so far are kept, those of the others are deleted as soon as they are
beaten: stage train takes them.
"""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from typing_extensions import override

from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.errors import UserError
from trimtab_trainer.execution._base import Failure
from trimtab_trainer.reporting._base import (
    NewBest,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.trial import TrialRunner, run_search
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.stages._work import fit, report_epoch
from trimtab_trainer.storage.trial_log import TrialLog

__all__ = ["SearchStage", "read_trials", "run_trial"]


def run_trial(
    bench: Bench, *, spec: Spec, folder: Path, threads: int
) -> Generator[EpochReport, None, dict[str, float]]:
    """Train one trial and save its weights; yield its epochs, return its metrics."""
    training = fit(bench, spec=spec, folder=folder, threads=threads)
    while True:
        try:
            result = next(training)
        except StopIteration as end:
            metrics: dict[str, float] = end.value
            return metrics
        yield report_epoch(result)


def open_log(run: Run) -> TrialLog:
    """Return the run's trial log."""
    return TrialLog(
        run.context.root / "trials",
        fingerprint=run.context.fingerprint,
        attempt=run.context.attempt,
    )


def read_trials(run: Run) -> list[TrialReport]:
    """Return the trials of earlier starts.

    Raises:
        TrialLogCorruptError: A record in the middle of the log fails its checksum.
        StudyMismatchError: The log belongs to another study.
    """
    return [TrialReport.model_validate(record) for record in open_log(run).read()]


class SearchStage(AbstractStage):
    """Leaves the trials and the weights of the best one."""

    name = StageName.SEARCH

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        search = run.spec.stages.search
        if search is None:
            return None
        return {
            "fingerprint": run.context.fingerprint,
            "digest": run.require_facts().digest,
            "numTrials": search.num_trials,
        }

    @override
    def run(self, run: Run) -> StageResult:
        search = run.spec.stages.search
        if search is None or search.parameters is None or search.num_trials is None:
            raise ValueError("only an expanded spec with stages.search can be searched")
        log = open_log(run)
        run.trials = [TrialReport.model_validate(record) for record in log.read()]
        study = Study(
            search.parameters,
            algorithm=search.algorithm,
            objectives=run.spec.objectives,
            seed=run.spec.seed,
            num_trials=search.num_trials,
        )
        study.replay(run.trials)
        run.reporter.publish(StageStarted(self.name, search.num_trials, len(run.trials)))
        runner = self._make_runner(run, log, search.max_failed_trials or 0)
        for trial in run_search(study, runner, run.executor, list(run.trials)):
            run.reporter.publish(TrialEnded(trial))
            self._announce_best(run, trial)
        return self._finish(run)

    def _finish(self, run: Run) -> StageResult:
        best = run.best
        if best is None:
            raise UserError("no trial of the search succeeded, so there is nothing to train")
        point = ", ".join(f"{entry.name}={entry.value}" for entry in best.parameters)
        return StageResult(
            message=f"{len(run.trials)} trials, best is trial {best.trial}: {point}",
            metrics=dict(best.metrics),
            artifact="trials",
        )

    def _make_runner(self, run: Run, log: TrialLog, max_failed: int) -> TrialRunner:
        threads = max(1, run.context.cores // run.executor.slots)

        def arguments(proposal: Proposal) -> dict[str, object]:
            return {
                "spec": run.spec_with(proposal.parameters),
                "folder": _weights(run, proposal.number),
                "threads": threads,
            }

        def on_start(proposal: Proposal, slot: int) -> None:
            train = run.spec_with(proposal.parameters).stages.train
            epochs = train.epochs if train else None
            run.reporter.publish(
                TrialStarted(proposal.number, slot, proposal.parameters, epochs)
            )

        def on_epoch(proposal: Proposal, slot: int, epoch: EpochReport) -> None:
            train = run.spec_with(proposal.parameters).stages.train
            epochs = (train.epochs if train else None) or epoch.epoch
            run.reporter.publish(
                TrialProgress(proposal.number, slot, epoch.epoch, epochs, epoch.metrics)
            )

        def on_failure(proposal: Proposal, failure: Failure) -> None:
            run.keep_traceback(f"trial-{proposal.number}", failure.traceback)

        def record(trial: TrialReport) -> TrialReport:
            stored = self._keep_best_weights(run, trial)
            log.append(stored.model_dump(mode="json", by_alias=True, exclude_none=True))
            run.trials.append(stored)
            return stored

        return TrialRunner(
            objectives=run.spec.objectives,
            work=run_trial,
            arguments=arguments,
            on_start=on_start,
            on_epoch=on_epoch,
            on_failure=on_failure,
            record=record,
            max_failed=max_failed,
        )

    def _keep_best_weights(self, run: Run, trial: TrialReport) -> TrialReport:
        """Name the weights in the record; delete those that cannot become the result."""
        folder = _weights(run, trial.number)
        before = run.best
        run.trials.append(trial)
        after = run.best
        run.trials.pop()
        if after is None or after.trial != trial.number:
            shutil.rmtree(folder, ignore_errors=True)
            return trial
        if before is not None:
            shutil.rmtree(_weights(run, before.trial), ignore_errors=True)
        return trial.model_copy(update={"checkpoint": run.context.relative(folder)})

    def _announce_best(self, run: Run, trial: TrialReport) -> None:
        best = run.best
        if best is not None and best.trial == trial.number:
            metric = run.spec.objectives[0].metric
            run.reporter.publish(NewBest(trial.number, metric, best.value, trial.parameters))

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.trials = read_trials(run)


def _weights(run: Run, number: int) -> Path:
    return run.context.checkpoints / f"trial-{number}"
