"""The search loop, and one trial's life in it: ask, place, watch, judge, record, tell.

Called by the stage with a study and an executor. Every ended trial is recorded before the next
one is asked for, so a killed driver loses no result. What a trial does and where its record goes
is the stage's; which point it gets is the study's; what its result is worth is the verdict's.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.errors import TooManyFailedTrialsError, UserError
from trimtab_trainer.execution._base import AbstractExecutor, Done, Event, Failure, WorkFunction
from trimtab_trainer.search.space import Point
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.verdict import (
    find_best,
    is_goal_reached,
    is_misconfigured,
    judge_trial,
)

__all__ = ["TrialRunner", "run_search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRunner:
    """What a trial does, and who hears of it."""

    objectives: Sequence[Objective]
    """The study's."""
    work: WorkFunction
    """Yields an `EpochReport` per epoch; returns metric → number."""
    arguments: Callable[[Proposal], Mapping[str, object]]
    """Keyword arguments of the work for one trial."""
    on_start: Callable[[Proposal, int], None]
    """Hears of a trial and its slot."""
    on_epoch: Callable[[Proposal, int, EpochReport], None]
    """Hears of a trial's epoch and its slot."""
    on_failure: Callable[[Proposal, Failure], None]
    """Hears of what a trial raised, before anything follows from it."""
    record: Callable[[TrialReport, Mapping[int, Point]], TrialReport]
    """Takes an ended trial, and number → parameters of those that still run; when it returns,
    the record is safe. It may return the trial with more in it."""
    max_failed: int
    """More failed trials than this end the search with an error."""


def run_search(
    study: Study,
    runner: TrialRunner,
    executor: AbstractExecutor,
    trials: Sequence[TrialReport] = (),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[TrialReport]:
    """Run trials until all were run, the space is exhausted, or the primary goal is reached.

    What still runs when the goal is reached is stopped and leaves no record.

    Args:
        study: Into which earlier trials, if any, were replayed.
        runner: What a trial does.
        executor: All its slots are used; they must be idle, and are idle again at the end.
        trials: Earlier trials, in the order in which they ended.
        clock: Seconds; only differences count.

    Yields:
        Each trial that ended and is recorded.

    Raises:
        UserError: A trial's error is the user's, or the first three trials failed alike.
        TooManyFailedTrialsError: More trials failed than allowed.
        TrainerError: An error that no other trial would escape, as the trial raised it.
    """
    search = _Search(study, runner, executor, clock, start=clock(), trials=list(trials))
    search.fill_slots()
    while search.running:
        for event in executor.events():
            trial = search.take(event)
            if trial is not None:
                yield trial
                search.limit_failures(trial)
                search.fill_slots()


@dataclass(slots=True)
class _RunningTrial:
    proposal: Proposal
    start: float
    epochs: list[EpochReport] = field(default_factory=list)


@dataclass(slots=True)
class _Search:
    """The state of one search between events."""

    study: Study
    runner: TrialRunner
    executor: AbstractExecutor
    clock: Callable[[], float]
    start: float
    trials: list[TrialReport]
    running: dict[int, _RunningTrial] = field(default_factory=dict)

    def fill_slots(self) -> None:
        if self._is_goal_reached():
            self._stop_running()
            return
        for slot in range(self.executor.slots):
            proposal = None if slot in self.running else self.study.ask()
            if proposal is not None:
                self._place(slot, proposal)

    def _is_goal_reached(self) -> bool:
        primary = self.runner.objectives[0]
        values = [trial.values[primary.metric] for trial in self.trials if trial.values]
        best = find_best(values, primary)
        return best is not None and is_goal_reached(best, primary)

    def _stop_running(self) -> None:
        for slot in self.running:
            self.executor.stop(slot)
        self.running.clear()

    def _place(self, slot: int, proposal: Proposal) -> None:
        self.executor.submit(slot, self.runner.work, **self.runner.arguments(proposal))
        self.running[slot] = _RunningTrial(proposal, start=self.clock())
        self.runner.on_start(proposal, slot)

    def take(self, event: Event) -> TrialReport | None:
        """Act on an event; return the trial that it ended."""
        if isinstance(event, Done):
            return self._end(event)
        if isinstance(event.payload, EpochReport):
            self._note_epoch(event.slot, event.payload)
        return None

    def _note_epoch(self, slot: int, epoch: EpochReport) -> None:
        trial = self.running[slot]
        trial.epochs.append(epoch)
        self.runner.on_epoch(trial.proposal, slot, epoch)

    def _end(self, done: Done) -> TrialReport:
        trial = self.running.pop(done.slot)
        if done.failure is not None:
            self._look_at(done.failure, trial.proposal)
        report = self._record(self._report(trial, done))
        self.trials.append(report)
        self.study.tell(report.number, report.values or None)
        return report

    def _look_at(self, failure: Failure, proposal: Proposal) -> None:
        self.runner.on_failure(proposal, failure)
        if failure.failure_class is FailureClass.USER_ERROR:
            # Without a record, the trial runs again once the user has mended the cause.
            raise failure.error or UserError(failure.message)

    def _report(self, trial: _RunningTrial, done: Done) -> TrialReport:
        verdict = judge_trial(done, self.runner.objectives)
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

    def _record(self, report: TrialReport) -> TrialReport:
        proposals = [trial.proposal for trial in self.running.values()]
        running = {proposal.number: proposal.parameters for proposal in proposals}
        return self.runner.record(report, running)

    def limit_failures(self, trial: TrialReport) -> None:
        """Judge only a trial that has just failed: a restart is a new chance for the old ones."""
        if trial.state is not TrialState.FAILED or trial.failure is None:
            return
        cause = trial.failure.message
        if is_misconfigured(self.trials):
            raise UserError(f"the first {len(self.trials)} trials failed alike: {cause}")
        failed = sum(other.state is TrialState.FAILED for other in self.trials)
        if failed > self.runner.max_failed:
            raise TooManyFailedTrialsError(
                f"search.maxFailedTrials allows {self.runner.max_failed} failed trials but"
                f" {failed} failed; the last one: {cause}"
            )
