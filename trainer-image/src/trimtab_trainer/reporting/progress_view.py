"""What a run in a cluster tells the operator: the state behind `progress.json`.

Fed by the reporter with events and snapshots, from the run's thread; rendered whenever a report is
due. It keeps little itself: what a snapshot has is taken from it, so that nothing is counted twice.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import final

from trimtab_api.candidates import summarize_candidate
from trimtab_api.defaults import DETECTED_PROFILE
from trimtab_api.progress import (
    Counters,
    LastTrial,
    Outcome,
    Problem,
    ProgressReport,
    ReportEvent,
    RunningTrial,
    StageEntry,
)
from trimtab_api.stages import StageName, StageState
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import Status, TrialState
from trimtab_trainer.reporting._base import (
    Event,
    ProblemRaised,
    ProblemSolved,
    RunResumed,
    RunStarted,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from trimtab_trainer.reporting.gpu_time import measure_stage
from trimtab_trainer.reporting.report_events import describe_for_people
from trimtab_trainer.supervision import Snapshot

__all__ = ["Identity", "ProgressView"]

_MOST_EVENTS = 20
_MOST_RUNNING = 16
_MOST_METRICS = 4
_MOST_METRICS_OF_LAST = 16
_ENDED = {StageState.SUCCEEDED, StageState.CACHED, StageState.SKIPPED, StageState.FAILED}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose report it is."""

    uid: str
    """Of the job."""
    attempt: int


@final
class ProgressView:
    """The last snapshot, and what happened since.

    Args:
        identity: Goes into every report.
        spec: The job's, to tell which metrics matter; None where there is no valid one.
    """

    def __init__(self, identity: Identity, spec: Spec | None) -> None:
        self._identity = identity
        self._spec = spec
        self._snapshot = Snapshot(Status())
        self._stage: StageName | None = None
        self._message = ""
        self._problem: Problem | None = None
        self._outcome: Outcome | None = None
        self._running: dict[int, RunningTrial] = {}
        self._failed = 0
        self._events: deque[ReportEvent] = deque(maxlen=_MOST_EVENTS)
        self._told = 0

    def note(self, event: Event) -> ReportEvent | None:
        """Take an event; return what people are told of it, if anything."""
        self._follow(event)
        if isinstance(event, TrialEnded):
            self._failed += event.trial.state is TrialState.FAILED
        if isinstance(event, StageStarted) and event.stage is self._stage:
            return None  # a training that goes on is told of twice
        described = describe_for_people(event, failed_trials=self._failed)
        if isinstance(event, StageStarted):
            self._stage = event.stage
        if described is None:
            return None
        reason, message = described
        self._told += 1
        told = ReportEvent(id=self._told, type=reason.type, reason=reason, message=shorten(message))
        self._events.append(told)
        return told

    def _follow(self, event: Event) -> None:
        match event:
            case TrialStarted() | TrialProgress() | TrialEnded():
                self._follow_trial(event)
            case ProblemRaised(reason, message):
                self._problem = Problem(reason=reason, message=shorten(message))
            case ProblemSolved():
                self._problem = None
            case _:
                self._follow_stage(event)

    def _follow_stage(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._message = "workers start and the job is checked"
            case RunResumed(trials, attempt):
                self._message = f"attempt {attempt} goes on after {trials} trials"
            case StageStarted(stage):
                self._message = f"{stage} runs"
            case StageProgress(_, _, _, message) if message:
                self._message = shorten(message)
            case StageEnded():
                self._message = ""
                self._running.clear()
            case _:
                pass

    def _follow_trial(self, event: TrialStarted | TrialProgress | TrialEnded) -> None:
        match event:
            case TrialStarted(number, slot, _, epochs):
                self._running[slot] = RunningTrial(slot=slot, trial=number, epochs=epochs)
            case TrialProgress(number, slot, epoch, epochs, metrics, _, loss_scale):
                self._running[slot] = RunningTrial(
                    slot=slot,
                    trial=number,
                    epoch=epoch,
                    epochs=epochs or None,
                    metrics=self._choose(metrics, _MOST_METRICS),
                    loss_scale=loss_scale,
                )
            case TrialEnded(trial):
                self._running.pop(trial.slot, None)

    def take(self, snapshot: Snapshot) -> None:
        """Take what the run knows now."""
        self._snapshot = snapshot
        self._failed = sum(trial.state is TrialState.FAILED for trial in snapshot.trials)

    def end(self, outcome: Outcome) -> None:
        """Take how the driver ended."""
        self._outcome = outcome
        self._running.clear()
        self._problem = None
        self._message = outcome.message

    def build(self, *, sequence: int, now: datetime) -> ProgressReport:
        """Return the report of this moment.

        Args:
            sequence: Its number.
            now: The time, for people.
        """
        status, running = self._snapshot.status, list(self._running.values())
        trials = status.trials
        return ProgressReport(
            uid=self._identity.uid,
            attempt=self._identity.attempt,
            sequence=sequence,
            time=now.isoformat(timespec="seconds"),
            stage=self._stage or status.stage,
            message=self._message,
            outcome=self._outcome,
            problem=self._problem,
            profile=DETECTED_PROFILE,
            trials=trials.model_copy(update={"running": len(running)}) if trials else None,
            best=status.best,
            baseline=status.baseline,
            budget=status.budget,
            candidates=tuple(
                summarize_candidate(candidate, self._spec)
                for candidate in self._snapshot.candidates
                if self._spec is not None
            ),
            stages=status.stages,
            targets=tuple(self._snapshot.measured),
            precision=status.precision,
            gpu_seconds=status.gpu_seconds,
            failures=status.failures,
            running=tuple(running[:_MOST_RUNNING]),
            last_trial=self._describe_last(),
            hypervolume=self._snapshot.hypervolume,
            margins=tuple(self._snapshot.margins),
            counters=_count(self._snapshot),
            events=tuple(self._events),
        )

    def _describe_last(self) -> LastTrial | None:
        trials = self._snapshot.trials
        if not trials:
            return None
        last = trials[-1]
        metrics = self._choose(last.metrics, _MOST_METRICS_OF_LAST)
        return LastTrial(trial=last.number, state=last.state, metrics=metrics)

    def _choose(self, metrics: Mapping[str, float], most: int) -> dict[str, float]:
        """Return so many metrics, those of the objectives first."""
        first = {entry.metric for entry in self._spec.objectives} if self._spec else set()
        names = sorted(metrics, key=lambda name: name not in first)
        return {name: metrics[name] for name in names[:most]}

    def build_entries(self) -> Iterator[StageEntry]:
        """Yield the entry of each stage that ended."""
        for stage in self._snapshot.status.stages:
            if stage.state in _ENDED:
                yield StageEntry(
                    uid=self._identity.uid, attempt=self._identity.attempt, stage=stage
                )


def _count(snapshot: Snapshot) -> Counters:
    """Return totals that can be read from the study, so that they hold over all attempts."""
    stages, trials = snapshot.status.stages, snapshot.trials
    retries = Counter(retry.failure_class for trial in trials for retry in trial.retries)
    fallbacks = Counter(
        f"{epoch.numerics.fallback_from}:{epoch.numerics.dtype}"
        for trial in trials
        for epoch in trial.intermediate
        if epoch.numerics is not None and epoch.numerics.fallback_from is not None
    )
    return Counters(
        stage_seconds={
            stage.name: measure_stage(stage) for stage in stages if stage.completion_time
        },
        gpu_seconds_saved=dict(snapshot.gpu_saved),
        retries=dict(retries),
        precision_fallbacks=dict(fallbacks.most_common(16)),
    )
