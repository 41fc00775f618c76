"""The search loop, and one trial's life in it: ask, place, watch, judge, record, tell.

Called by the stage with a study, an executor and the work of a trial. Every ended trial is
recorded before the next one is asked for, so a killed driver loses no result. What a trial does
is the work's; which point it gets is the study's; what its result is worth is the verdict's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.errors import TooManyFailedTrialsError, UserError
from trimtab_trainer.execution._base import AbstractExecutor, Done, WorkFunction
from trimtab_trainer.reporting._base import Event, NewBest, TrialEnded, TrialProgress, TrialStarted
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.verdict import (
    find_best,
    is_better,
    is_goal_reached,
    is_misconfigured,
    judge_trial,
    keep_finite,
)

__all__ = ["EpochLike", "SearchHooks", "TrialWork", "run_search"]


class EpochLike(Protocol):
    """What the work of a trial yields after each epoch."""

    @property
    def epoch(self) -> int:
        """Return its number, counted from 1."""

    @property
    def epochs(self) -> int:
        """Return how many there will be."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Return metrics of the validation split, and `train_loss`."""

    @property
    def seconds(self) -> float:
        """Return the wall time of the epoch."""


@dataclass(frozen=True, slots=True)
class TrialWork:
    """What a trial does, and in how many slots."""

    work: WorkFunction
    """Yields an `EpochLike` per epoch and returns a mapping of metric → number."""
    arguments: Callable[[Proposal], Mapping[str, object]]
    """Keyword arguments of the work for one trial."""
    slots: int
    """Trials at once; the executor's slots 0 to slots-1 are used."""


@dataclass(slots=True)
class _RunningTrial:
    proposal: Proposal
    start: float
    epochs: list[EpochReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHooks:
    """Where the search loop leaves what it learns."""

    log: Callable[[dict[str, Any]], None]
    """Appends to the trial log; when it returns, the record is safe."""
    on_event: Callable[[Event], None]
    """Hears of every trial's start, epochs and end, and of each new best one."""
    keep_traceback: Callable[[str, str], None]
    """Takes a name such as `trial-7` and the traceback of what the trial raised."""


def run_search(
    study: Study,
    trial_work: TrialWork,
    *,
    executor: AbstractExecutor,
    records: Sequence[Mapping[str, Any]],
    hooks: SearchHooks,
    max_failed: int,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[TrialReport, ...]:
    """Run trials until all were run, the space is exhausted, or the primary goal is reached.

    What still runs when the goal is reached is stopped and leaves no record.

    Args:
        study: A fresh one.
        trial_work: What a trial does.
        executor: Its slots must be idle; they are idle again unless this raises.
        records: What the trial log holds, in its order.
        hooks: Where results go.
        max_failed: More failed trials than this raise.
        clock: Seconds; only differences count.

    Returns:
        All ended trials in the order in which they ended, recorded ones first.

    Raises:
        UserError: A trial's error is the user's, or the first three trials failed alike.
        TooManyFailedTrialsError: More trials failed than allowed, or none succeeded.
        TrainerError: An error that no other trial would escape, as the trial raised it.
        TrialLogCorruptError: The records do not describe the trials of a study.
        StudyMismatchError: The records belong to a study of another space.
    """
    earlier = [TrialRecord.from_json(record) for record in records]
    study.replay(earlier)
    search = _Search(
        study=study,
        trial_work=trial_work,
        executor=executor,
        hooks=hooks,
        max_failed=max_failed,
        clock=clock,
        start=clock(),
        trials=[record.trial for record in earlier],
    )
    search.run()
    return tuple(search.trials)


@dataclass(slots=True, kw_only=True)
class _Search:
    """The state of one search between events."""

    study: Study
    trial_work: TrialWork
    executor: AbstractExecutor
    hooks: SearchHooks
    max_failed: int
    clock: Callable[[], float]
    start: float
    trials: list[TrialReport]
    running: dict[int, _RunningTrial] = field(default_factory=dict)

    def run(self) -> None:
        self._fill_slots()
        while self.running:
            for event in self.executor.events():
                if isinstance(event, Done):
                    self._end(event)
                    self._fill_slots()
                else:
                    self._note_epoch(event.slot, event.payload)
        if self._best_value() is None:
            raise TooManyFailedTrialsError(
                f"at least one trial must succeed but all of {len(self.trials)} ended without a"
                f" value; the last one: {_quote(self.trials[-1:])}"
            )

    def _fill_slots(self) -> None:
        if self._is_goal_reached():
            self._stop_running()
            return
        for slot in range(self.trial_work.slots):
            proposal = None if slot in self.running else self.study.ask()
            if proposal is not None:
                self._place(slot, proposal)

    def _is_goal_reached(self) -> bool:
        best = self._best_value()
        return best is not None and is_goal_reached(best, self.study.objectives[0])

    def _stop_running(self) -> None:
        for slot in self.running:
            self.executor.stop(slot)
        self.running.clear()

    def _place(self, slot: int, proposal: Proposal) -> None:
        arguments = self.trial_work.arguments(proposal)
        self.executor.submit(slot, self.trial_work.work, **arguments)
        self.running[slot] = _RunningTrial(proposal, start=self.clock())
        self.hooks.on_event(TrialStarted(proposal.number, slot, proposal.parameters))

    def _note_epoch(self, slot: int, epoch: EpochLike) -> None:
        trial = self.running[slot]
        metrics = keep_finite(epoch.metrics)
        trial.epochs.append(EpochReport(epoch=epoch.epoch, metrics=metrics, seconds=epoch.seconds))
        self.hooks.on_event(
            TrialProgress(trial.proposal.number, slot, epoch.epoch, epoch.epochs, metrics)
        )

    def _end(self, done: Done) -> None:
        trial = self.running.pop(done.slot)
        self._look_at_failure(trial.proposal, done)
        report = self._report(trial, done)
        best_before = self._best_value()
        self.trials.append(report)
        self._record(report)
        self.hooks.on_event(TrialEnded(report))
        self._announce_best(report, best_before)
        self._limit_failures(report)

    def _look_at_failure(self, proposal: Proposal, done: Done) -> None:
        if done.failure is None:
            return
        self.hooks.keep_traceback(f"trial-{proposal.number}", done.failure.traceback)
        if done.failure.failure_class is FailureClass.USER_ERROR:
            # Without a record, the trial runs again once the user has mended the cause.
            raise done.failure.error or UserError(done.failure.message)

    def _report(self, trial: _RunningTrial, done: Done) -> TrialReport:
        verdict = judge_trial(done, self.study.objectives)
        return TrialReport(
            number=trial.proposal.number,
            state=verdict.state,
            parameters=trial.proposal.parameters,
            values=dict(verdict.values),
            metrics=dict(verdict.metrics),
            intermediate=tuple(trial.epochs),
            seconds=self.clock() - trial.start,
            start_seconds=trial.start - self.start,
            slot=done.slot,
            failure=verdict.failure,
        )

    def _record(self, report: TrialReport) -> None:
        proposals = [trial.proposal for trial in self.running.values()]
        running = {proposal.number: proposal.parameters for proposal in proposals}
        self.hooks.log(TrialRecord(report, running).to_json())
        self.study.tell(report.number, report.values or None)

    def _announce_best(self, report: TrialReport, before: float | None) -> None:
        primary = self.study.objectives[0]
        value = report.values.get(primary.metric)
        if value is not None and (before is None or is_better(value, before, primary)):
            self.hooks.on_event(NewBest(report.number, primary.metric, value, report.parameters))

    def _best_value(self) -> float | None:
        primary = self.study.objectives[0]
        values = [trial.values[primary.metric] for trial in self.trials if trial.values]
        return find_best(values, primary)

    def _limit_failures(self, report: TrialReport) -> None:
        """Judge only when a trial has just failed: a restart is a new chance for the old ones."""
        if report.state is not TrialState.FAILED:
            return
        if is_misconfigured(self.trials):
            raise UserError(f"the first trials all failed alike: {_quote([report])}")
        failed = [trial for trial in self.trials if trial.state is TrialState.FAILED]
        if len(failed) > self.max_failed:
            raise TooManyFailedTrialsError(
                f"search.maxFailedTrials allows {self.max_failed} failed trials but"
                f" {len(failed)} failed; the last one: {_quote([report])}"
            )


def _quote(trials: Sequence[TrialReport]) -> str:
    return "".join(trial.failure.message for trial in trials if trial.failure is not None)
