"""Stage search: trials on every slot, each recorded in the trial log before the next is asked for.

The weights of the best trial so far are kept, those of the others are deleted as soon as they are
beaten: stage train takes them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from typing_extensions import override

from trimtab_api.defaults import failure_actions
from trimtab_api.feasibility import trial_limits
from trimtab_api.reports import ImportanceReport, TrialReport
from trimtab_api.selection import metric_direction
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.search import Search
from trimtab_api.wording import render_scalar
from trimtab_trainer.errors import TooManyFailedTrialsError
from trimtab_trainer.reporting._base import NewBest, StageStarted, TrialEnded
from trimtab_trainer.search.importance import rank_parameters
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.runner import Stopping, TrialRunner
from trimtab_trainer.search.space import Point
from trimtab_trainer.search.stopping import build_stopper
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.trial import run_search
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._fit import can_shrink, fit, unfinished
from trimtab_trainer.stages._trial_listener import TrialListener
from trimtab_trainer.stages._warm_start import find_known_trials
from trimtab_trainer.storage.filesystem import discard, list_folders
from trimtab_trainer.storage.trial_log import TrialLog
from trimtab_trainer.supervision import Wishes

__all__ = ["SearchStage", "read_trials"]


def read_trials(run: Run) -> list[TrialReport]:
    """Return the trials of earlier starts, in the order in which they ended.

    Raises:
        TrialLogCorruptError: A record in the middle of the log fails its checksum.
        StudyMismatchError: The log belongs to another study.
    """
    return [TrialRecord.from_json(record).trial for record in run.load(_open_log(run).read)]


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
        search = _require_expanded(run)
        log = _open_log(run)
        records = [TrialRecord.from_json(record) for record in run.load(log.read)]
        run.trials = [record.trial for record in records]
        run.reporter.publish(StageStarted(self.name, search.num_trials, len(records)))
        study = Study(
            search.parameters or (),
            algorithm=search.algorithm,
            objectives=run.spec.objectives,
            limits=trial_limits(run.spec),
            seed=run.spec.seed,
            num_trials=search.num_trials or 0,
            points=search.warm_start.points,
            known=find_known_trials(run),
        )
        study.replay(records)
        run.cached_trials = list(study.known)
        runner = _make_runner(run, log, search)
        for trial in run_search(study, runner, run.executor, list(run.trials)):
            best = run.best
            if best is not None and best.trial == trial.number:
                metric = run.spec.objectives[0].metric
                run.reporter.publish(NewBest(trial.number, metric, best.value, trial.parameters))
        return self._finish(run)

    def _finish(self, run: Run) -> StageResult:
        best = run.best
        if best is None:
            raise TooManyFailedTrialsError(
                f"at least one trial must succeed but none of {len(run.trials)} did:"
                f" {_describe_ends(run.trials)}"
            )
        for folder in run.load(lambda: list_folders(run.context.checkpoints)):
            if folder.name.startswith("trial-") and folder != run.trial_checkpoint(best.trial):
                discard(folder)
        search = _require_expanded(run)
        importance = rank_parameters(
            run.trials, search.parameters or (), run.spec.objectives, seed=run.spec.seed
        )
        run.importance = list(importance)
        point = ", ".join(f"{entry.name} {render_scalar(entry.value)}" for entry in best.parameters)
        return StageResult(
            message=f"{len(run.trials)} trials, best is trial {best.trial}: {point}",
            metrics=dict(best.metrics),
            artifact="trials",
            data={
                "importance": [entry.model_dump(mode="json") for entry in importance],
                "cached": [
                    trial.model_dump(mode="json", by_alias=True) for trial in run.cached_trials
                ],
            },
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.trials = read_trials(run)
        run.importance = [ImportanceReport.model_validate(entry) for entry in data["importance"]]
        run.cached_trials = [TrialReport.model_validate(entry) for entry in data["cached"]]


def _require_expanded(run: Run) -> Search:
    search = run.spec.stages.search
    if search is None or search.parameters is None or search.num_trials is None:
        raise ValueError("only an expanded spec with stages.search can be searched")
    return search


def _describe_ends(trials: Sequence[TrialReport]) -> str:
    counts = Counter(str(trial.state) for trial in trials)
    ends = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    failures = [trial.failure.message for trial in trials if trial.failure]
    limits = [name for trial in trials for name in trial.violations]
    causes = [*failures[-1:], *(f"over the limit {name}" for name in limits[-1:])]
    return "; ".join([ends, *causes])


def _make_runner(run: Run, log: TrialLog, search: Search) -> TrialRunner:
    def record(trial: TrialReport, running: Mapping[int, Point]) -> None:
        run.trouble.clear(trial.slot)
        run.store(lambda: log.append(TrialRecord(trial, running).to_json()))
        _keep_best_weights(run, trial)
        run.reporter.publish(TrialEnded(trial))

    def arguments(proposal: Proposal, shrinks: int) -> dict[str, object]:
        return {
            "spec": run.spec_with(proposal.parameters),
            "folder": run.trial_checkpoint(proposal.number),
            "threads": run.trial_cores,
            "shrinks": shrinks,
            "keeps_limits": True,
        }

    def is_shrinkable(proposal: Proposal, shrinks: int) -> bool:
        return can_shrink(run.spec_with(proposal.parameters), shrinks)

    def heed() -> Wishes:
        wishes = run.heed()
        if wishes.num_trials is not None:
            run.job = _with_num_trials(run.job, wishes.num_trials)
        return wishes

    return TrialRunner(
        objectives=run.spec.objectives,
        limits=trial_limits(run.spec),
        work=fit,
        arguments=arguments,
        can_shrink=is_shrinkable,
        actions=partial(failure_actions, run.spec),
        stopping=_make_stopping(run, search),
        timeout=search.trial_timeout_seconds,
        is_team=run.executor.workers_per_slot > 1,
        max_failed=search.max_failed_trials or 0,
        attempt=run.context.attempt,
        record=record,
        listener=TrialListener(run),
        heed=heed,
    )


def _with_num_trials(job: OptimizationJob, num_trials: int) -> OptimizationJob:
    """Return the job as if its manifest asked for so many trials, so that its results say so."""
    search = job.spec.stages.search
    if search is None or search.num_trials == num_trials:
        return job
    changed = search.model_copy(update={"num_trials": num_trials})
    stages = job.spec.stages.model_copy(update={"search": changed})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"stages": stages})})


def _make_stopping(run: Run, search: Search) -> Stopping | None:
    """Return the stopper of the search, with the epochs of earlier trials in it."""
    settings = search.early_stopping
    if settings is None or settings.metric is None:
        return None
    stopper = build_stopper(
        settings,
        direction=metric_direction(settings.metric, run.spec.objectives),
        epochs=_longest_trial(run, search),
    )
    for trial in run.trials:
        for epoch in trial.intermediate:
            if settings.metric in epoch.metrics:
                stopper.note(trial.number, epoch.epoch, epoch.metrics[settings.metric])
        if trial.intermediate:
            stopper.end(trial.number)

    def length(proposal: Proposal) -> int:
        train = run.spec_with(proposal.parameters).stages.train
        if train is None:
            raise ValueError("only a spec with stages.train can be searched")
        return train.epochs or _count_epochs(run, train.steps or 1, train.batch_size)

    return Stopping(stopper, settings.metric, length)


def _longest_trial(run: Run, search: Search) -> int:
    """Return the most epochs that a trial can have."""
    train = run.spec.stages.train
    if train is None:
        raise ValueError("only a spec with stages.train can be searched")
    steps = _largest(search, "train.steps", train.steps)
    if steps is None:
        return int(_largest(search, "train.epochs", train.epochs) or 1)
    batch_size = _largest(search, "train.batchSize", train.batch_size) or 1
    return _count_epochs(run, steps, batch_size)


def _count_epochs(run: Run, steps: float, batch_size: float) -> int:
    per_epoch = math.ceil(run.require_facts().samples["train"] / batch_size)
    return math.ceil(steps / per_epoch)


def _largest(search: Search, name: str, default: float | None) -> float | None:
    """Return the largest value that a search gives a field; the field's own where it gives none."""
    for parameter in search.parameters or ():
        if parameter.name == name:
            space = parameter.search_space
            bounds = space.uniform or space.log_uniform
            choices = space.categorical.choices if space.categorical else ()
            return bounds.max if bounds else max(float(choice) for choice in choices)
    return default


def _keep_best_weights(run: Run, trial: TrialReport) -> None:
    """Take an ended trial into the run; delete weights that cannot become the result."""
    before = run.best
    run.trials.append(trial)
    after = run.best
    beaten = trial.number
    if after is not None and after.trial == trial.number:
        beaten = before.trial if before is not None else -1
    discard(run.trial_checkpoint(beaten))
    discard(unfinished(run.trial_checkpoint(trial.number)))
