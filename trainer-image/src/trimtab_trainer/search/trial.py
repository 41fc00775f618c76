"""The search loop: ask, place, watch, judge, record, tell.

Called by the stage with a study and an executor. Every ended trial is recorded before the next
one is asked for, so a killed driver loses no result. What a trial does and where its record goes
is the stage's; which point it gets is the study's; what its result is worth is the verdict's;
what follows from a failure is the manifest's policy.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from trimtab_api.reports import EpochReport, TrialFailure, TrialReport
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.errors import (
    TooManyFailedTrialsError,
    TrainerError,
    TrialTimeoutError,
    UserError,
)
from trimtab_trainer.execution._base import AbstractExecutor, Done, Event, Failure
from trimtab_trainer.search.runner import RunningTrial, TrialRunner
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.verdict import (
    Verdict,
    find_best,
    is_goal_reached,
    is_misconfigured,
    judge_result,
)

__all__ = ["run_search"]

_GIVEN_UP = {
    FailureAction.MARK_INFEASIBLE: TrialState.INFEASIBLE,
    FailureAction.MARK_FAILED: TrialState.FAILED,
}


def run_search(
    study: Study,
    runner: TrialRunner,
    executor: AbstractExecutor,
    trials: Sequence[TrialReport] = (),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[TrialReport]:
    """Run trials until all were run, the space is exhausted, or the primary goal is reached.

    What still runs when the goal is reached, or when fewer trials are wanted than have ended, is
    stopped and leaves no record.

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
        TrainerError: An error that ends the job by the failure policy, as the trial raised it.
    """
    search = _Search(study, runner, executor, clock, start=clock(), trials=list(trials))
    search.heed()
    while search.running:
        for trial in search.wait():
            yield trial
            search.limit_failures(trial)
            search.fill_slots()
        search.heed()


@dataclass(slots=True)
class _Search:
    """The state of one search between events."""

    study: Study
    runner: TrialRunner
    executor: AbstractExecutor
    clock: Callable[[], float]
    start: float
    trials: list[TrialReport]
    running: dict[int, RunningTrial] = field(default_factory=dict)
    most: int = field(init=False)
    """Trials that may run at a time."""

    def __post_init__(self) -> None:
        self.most = self.executor.slots

    def heed(self) -> None:
        """Do what is wanted now."""
        wishes = self.runner.heed()
        if wishes.parallel_trials is not None:
            self.most = min(wishes.parallel_trials, self.executor.slots)
        if wishes.num_trials is not None:
            self.study.resize(wishes.num_trials)
        self.fill_slots()

    def fill_slots(self) -> None:
        if self._is_goal_reached() or len(self.trials) >= self.study.num_trials:
            self._stop_running()
            return
        free = [slot for slot in range(self.executor.slots) if slot not in self.running]
        for slot in free[: max(0, self.most - len(self.running))]:
            proposal = self.study.ask()
            if proposal is not None:
                self._start(slot, proposal)

    def _is_goal_reached(self) -> bool:
        primary = self.runner.objectives[0]
        values = [
            trial.values[primary.metric]
            for trial in self.trials
            if trial.values and not trial.violations
        ]
        best = find_best(values, primary)
        return best is not None and is_goal_reached(best, primary)

    def _stop_running(self) -> None:
        for slot in self.running:
            self.executor.stop(slot)
        self.running.clear()

    def _start(self, slot: int, proposal: Proposal) -> None:
        now = self.clock()
        self.running[slot] = RunningTrial(proposal, slot, start=now, heard=now)
        self._place(self.running[slot])
        self.runner.listener.started(proposal, slot)

    def _place(self, trial: RunningTrial) -> None:
        submit = self.executor.submit_team if self.runner.is_team else self.executor.submit
        arguments = self.runner.arguments(trial.proposal, trial.shrinks)
        submit(trial.slot, self.runner.work, **arguments)

    def wait(self) -> Iterator[TrialReport]:
        """Act on what happened; yield the trials that ended."""
        silent_at = min(trial.heard for trial in self.running.values()) + self.runner.timeout
        patience = max(0.0, min(self.runner.pulse, silent_at - self.clock()))
        for event in self.executor.events(patience):
            ended = self._take(event)
            if ended is not None:
                yield ended
        for slot, trial in list(self.running.items()):
            if self.executor.is_waiting(slot):
                trial.heard = self.clock()  # it has nothing to say before it has a place
            if self.clock() - trial.heard > self.runner.timeout:
                self.executor.stop(slot)
                ended = self._end(Done(slot, None, self._describe_silence()))
                if ended is not None:
                    yield ended

    def _describe_silence(self) -> Failure:
        message = (
            f"a trial must be heard of at least every {self.runner.timeout:g} s"
            " (search.trialTimeoutSeconds) but was silent for longer"
        )
        error = TrialTimeoutError(message)
        return Failure(error.failure_class, message, traceback="", error=error)

    def _take(self, event: Event) -> TrialReport | None:
        """Act on an event; return the trial that it ended."""
        if isinstance(event, Done):
            return self._end(event)
        trial = self.running[event.slot]
        trial.heard = self.clock()
        if isinstance(event.payload, EpochReport):
            self._note_epoch(trial, event.payload)
        else:
            self.runner.listener.progressed(trial.proposal, trial.slot, event.payload)
        return None

    def _note_epoch(self, trial: RunningTrial, epoch: EpochReport) -> None:
        trial.note(epoch)
        self.runner.listener.epoch_ended(trial.proposal, trial.slot, epoch)
        stopping = self.runner.stopping
        if stopping is None or trial.is_stopping or stopping.metric not in epoch.metrics:
            return
        number = trial.proposal.number
        stopping.stopper.note(number, epoch.epoch, epoch.metrics[stopping.metric])
        is_last = epoch.epoch >= stopping.length(trial.proposal)
        if not is_last and stopping.stopper.is_beaten(number):
            trial.is_stopping = True
            self.executor.interrupt(trial.slot)

    def _end(self, done: Done) -> TrialReport | None:
        """Record an ended trial; None where it runs again."""
        trial = self.running[done.slot]
        if done.interrupted and trial.is_stopping:
            return self._record(trial, trial.stopped())
        failure, verdict = self._judge(done)
        if failure is None:
            return self._record(trial, verdict)
        with self._excused():
            self.runner.listener.failed(trial.proposal, failure)
        action = self._choose_action(trial, failure)
        if action is FailureAction.FAIL_JOB:
            # Without a record, the trial runs again once the cause is mended.
            raise failure.error or UserError(failure.message)
        if action in _GIVEN_UP:
            return self._record(trial, Verdict(_GIVEN_UP[action]), failure)
        trial.retry(failure, action, now=self.clock())
        self.runner.listener.retried(trial.proposal, trial.slot, trial.retries[-1])
        self._place(trial)
        return None

    @contextmanager
    def _excused(self) -> Iterator[None]:
        """Do not hold against the trials that nobody listened while storage was waited for."""
        start = self.clock()
        yield
        waited = self.clock() - start
        for trial in self.running.values():
            trial.heard += waited

    def _judge(self, done: Done) -> tuple[Failure | None, Verdict]:
        try:
            verdict = judge_result(done.value, self.runner.objectives, self.runner.limits)
        except TrainerError as error:
            verdict = Verdict(TrialState.FAILED)
            fault = Failure(error.failure_class, str(error), traceback="", error=error)
            return done.failure or fault, verdict
        return done.failure, verdict

    def _choose_action(self, trial: RunningTrial, failure: Failure) -> FailureAction:
        """Return what the policy says; what cannot help any more is passed over."""
        actions = self.runner.actions(failure.failure_class)
        position = min(trial.positions[failure.failure_class], len(actions) - 1)
        for index in range(position, len(actions)):
            if self._can_help(actions[index], trial):
                trial.positions[failure.failure_class] = index + 1
                return actions[index]
        return FailureAction.MARK_FAILED

    def _can_help(self, action: FailureAction, trial: RunningTrial) -> bool:
        if action is FailureAction.FALLBACK_PRECISION:
            return False  # the training has already tried every type that was left
        if action is FailureAction.SHRINK_BATCH:
            return self.runner.can_shrink(trial.proposal, trial.shrinks + 1)
        return True

    def _record(
        self, trial: RunningTrial, verdict: Verdict, failure: Failure | None = None
    ) -> TrialReport:
        del self.running[trial.slot]
        if self.runner.stopping is not None and trial.epochs:
            self.runner.stopping.stopper.end(trial.proposal.number)
        report = TrialReport(
            number=trial.proposal.number,
            state=verdict.state,
            parameters=trial.proposal.parameters,
            values=dict(verdict.values),
            metrics=dict(verdict.metrics),
            intermediate=tuple(trial.epochs),
            seconds=self.clock() - trial.start,
            start_seconds=trial.start - self.start,
            slot=trial.slot,
            attempt=self.runner.attempt,
            failure=TrialFailure(failure_class=failure.failure_class, message=failure.message)
            if failure
            else None,
            retries=tuple(trial.retries),
            violations=dict(verdict.violations),
        )
        pending = self.study.pending
        pending.pop(report.number, None)
        with self._excused():
            self.runner.record(report, pending)
        self.trials.append(report)
        self.study.tell(report)
        return report

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
