"""Where a run stands, from its events: what is done, what is left, the best so far. Pure.

Fed by the terminal reporters of `progress`; time is given to it, so it can be tested without a
clock.
"""

from dataclasses import dataclass, field

from trimtab_api.stages import STAGE_ORDER, StageName
from trimtab_trainer.reporting._base import (
    Event,
    NewBest,
    ProblemRaised,
    ProblemSolved,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialRetried,
    TrialStarted,
)

__all__ = ["RunState", "TrialView"]

# A pace measured over less than this share of a stage is a guess.
_LEAST_PACE = 0.02


@dataclass(slots=True)
class TrialView:
    """A running trial."""

    epoch: int = 0
    epochs: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    fraction: float = 0.0
    """How much of the next epoch is done, 0…1."""
    retries: int = 0
    """How often it ran before."""

    @property
    def position(self) -> float:
        """Return the epochs done, a part of one included."""
        return self.epoch + self.fraction

    @property
    def share(self) -> float:
        """Return how much of the trial is done, 0…1."""
        return self.position / self.epochs if self.epochs else 0.0


@dataclass(slots=True)
class RunState:
    """A run at one moment."""

    stage: StageName | None = None
    """The stage that runs; None between stages."""
    total: float | None = None
    """Units of work of the stage, where that is known."""
    done: float = 0.0
    """Units that are done, those of an earlier start included."""
    running: dict[int, TrialView] = field(default_factory=dict)
    """Trials in progress, by number."""
    ended: set[StageName] = field(default_factory=set)
    """Stages that ended or were skipped."""
    best: NewBest | None = None
    message: str = ""
    """What the stage did last, in words; empty where it says none."""
    problem: ProblemRaised | None = None
    """What the run waits for; None while it goes on."""
    _began: float = 0.0
    _before: float = 0.0
    _moved: float = 0.0

    @property
    def stages(self) -> int:
        """Return the number of stages."""
        return len(STAGE_ORDER)

    @property
    def position(self) -> float:
        """Return the units done, running trials counted by their epochs."""
        return self.done + sum(trial.share for trial in self.running.values())

    def remaining(self, now: float) -> float | None:
        """Return the seconds that are left of the stage at its pace so far; None while unknown.

        Args:
            now: Seconds on the clock that `apply` is told.
        """
        advanced = self.position - self._before
        if self.total is None or advanced < _LEAST_PACE * self.total:
            return None
        return max(self.total - self.position, 0.0) * (now - self._began) / advanced

    def apply(self, event: Event, now: float) -> None:
        """Take an event into account.

        Args:
            event: What happened.
            now: Seconds on any clock that only grows.
        """
        match event:
            case StageStarted(stage, total, done):
                self._enter(stage, now)
                self.total, self.done, self._before = total or self.total, done, done
            case StageProgress(stage, done, total, message):
                self._enter(stage, now)
                self._move(done, total, now)
                self.message = message or self.message
            case StageEnded(stage):
                self.ended.add(stage)
                self.stage = None
                self.running.clear()
            case TrialStarted() | TrialProgress() | TrialRetried() | TrialEnded():
                self._follow(event)
            case NewBest():
                self.best = event
            case ProblemRaised():
                self.problem = event
            case ProblemSolved(_, seconds):
                self.problem = None
                # What was waited says nothing of the pace.
                self._began, self._moved = self._began + seconds, self._moved + seconds
            case _:
                pass

    def _follow(self, event: TrialStarted | TrialProgress | TrialRetried | TrialEnded) -> None:
        match event:
            case TrialStarted(number, epochs=epochs):
                self.running[number] = TrialView(epochs=epochs)
            case TrialProgress(number, _, epoch, epochs, metrics, fraction):
                retries = self.running.get(number, TrialView()).retries
                self.running[number] = TrialView(epoch, epochs, dict(metrics), fraction, retries)
            case TrialRetried(number):
                known = self.running.get(number, TrialView())
                self.running[number] = TrialView(epochs=known.epochs, retries=known.retries + 1)
            case TrialEnded(trial):
                self.running.pop(trial.number, None)
                self.done += 1

    def _enter(self, stage: StageName, now: float) -> None:
        if self.stage is not stage:
            self.stage, self.total, self.done, self.message = stage, None, 0.0, ""
            self._began, self._before, self._moved = now, 0.0, now

    def _move(self, done: float, total: float | None, now: float) -> None:
        # Trial cuts and pruning steps have paces of their own.
        is_next_part = self.total is not None and (total != self.total or done < self.done)
        if is_next_part:
            self._began, self._before = self._moved, 0.0
        self.done, self.total, self._moved = done, total, now
