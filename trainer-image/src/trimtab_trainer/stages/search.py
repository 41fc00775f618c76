"""Stage search: trials on every slot, each recorded in the trial log before the next is asked for.

The weights of the best trial so far are kept, those of the others are deleted as soon as they are
beaten: stage train takes them.
"""

import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.execution._base import Failure
from trimtab_trainer.reporting._base import (
    NewBest,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.space import Point
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


def read_trials(run: Run) -> list[TrialReport]:
    """Return the trials of earlier starts, in the order in which they ended.

    Raises:
        TrialLogCorruptError: A record in the middle of the log fails its checksum.
        StudyMismatchError: The log belongs to another study.
    """
    return [TrialRecord.from_json(record).trial for record in _open_log(run).read()]


def _open_log(run: Run) -> TrialLog:
    return TrialLog(
        run.context.root / "trials",
        fingerprint=run.context.fingerprint,
        attempt=run.context.attempt,
    )


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
        log = _open_log(run)
        records = log.read()
        run.trials = [TrialRecord.from_json(record).trial for record in records]
        run.reporter.publish(StageStarted(self.name, search.num_trials, len(records)))
        study = Study(
            search.parameters,
            algorithm=search.algorithm,
            objectives=run.spec.objectives,
            seed=run.spec.seed,
            num_trials=search.num_trials,
        )
        study.replay([TrialRecord.from_json(record) for record in records])
        runner = self._make_runner(run, log, search.max_failed_trials or 0)
        for trial in run_search(study, runner, run.executor, list(run.trials)):
            best = run.best
            if best is not None and best.trial == trial.number:
                metric = run.spec.objectives[0].metric
                run.reporter.publish(NewBest(trial.number, metric, best.value, trial.parameters))
        return self._finish(run)

    def _make_runner(self, run: Run, log: TrialLog, max_failed: int) -> TrialRunner:
        reporter = run.reporter

        def on_start(proposal: Proposal, slot: int) -> None:
            epochs = _count_epochs(run, proposal)
            reporter.publish(TrialStarted(proposal.number, slot, proposal.parameters, epochs))

        def on_epoch(proposal: Proposal, slot: int, epoch: EpochReport) -> None:
            epochs = _count_epochs(run, proposal) or epoch.epoch
            reporter.publish(
                TrialProgress(proposal.number, slot, epoch.epoch, epochs, epoch.metrics)
            )

        def on_failure(proposal: Proposal, failure: Failure) -> None:
            run.keep_traceback(f"trial-{proposal.number}", failure.traceback)

        def record(trial: TrialReport, running: Mapping[int, Point]) -> TrialReport:
            log.append(TrialRecord(trial, running).to_json())
            self._keep_best_weights(run, trial)
            reporter.publish(TrialEnded(trial))
            return trial

        return TrialRunner(
            objectives=run.spec.objectives,
            work=run_trial,
            arguments=lambda proposal: _make_arguments(run, proposal),
            on_start=on_start,
            on_epoch=on_epoch,
            on_failure=on_failure,
            record=record,
            max_failed=max_failed,
        )

    def _keep_best_weights(self, run: Run, trial: TrialReport) -> None:
        """Take an ended trial into the run; delete weights that cannot become the result."""
        before = run.best
        run.trials.append(trial)
        after = run.best
        beaten = trial.number
        if after is not None and after.trial == trial.number:
            beaten = before.trial if before is not None else -1
        shutil.rmtree(run.trial_checkpoint(beaten), ignore_errors=True)

    def _finish(self, run: Run) -> StageResult:
        best = run.best
        if best is None:
            raise ValueError("a search that ends without an error has a best trial")
        point = ", ".join(f"{entry.name}={entry.value}" for entry in best.parameters)
        return StageResult(
            message=f"{len(run.trials)} trials, best is trial {best.trial}: {point}",
            metrics=dict(best.metrics),
            artifact="trials",
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.trials = read_trials(run)


def _make_arguments(run: Run, proposal: Proposal) -> dict[str, object]:
    return {
        "spec": run.spec_with(proposal.parameters),
        "folder": run.trial_checkpoint(proposal.number),
        "threads": max(1, run.context.cores // run.executor.slots),
    }


def _count_epochs(run: Run, proposal: Proposal) -> int | None:
    train = run.spec_with(proposal.parameters).stages.train
    return train.epochs if train else None
