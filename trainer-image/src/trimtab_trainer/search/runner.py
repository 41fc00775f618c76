"""What the search loop is given: what a trial does, who hears of it, and a trial while it runs.

Made by the stage, used by the loop. Nothing here decides.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import EpochReport, RetryReport, TrialReport
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.execution._base import Failure, WorkFunction
from trimtab_trainer.search.space import Point
from trimtab_trainer.search.stopping import AbstractStopper
from trimtab_trainer.search.study import Proposal
from trimtab_trainer.search.verdict import Verdict
from trimtab_trainer.supervision import PULSE_SECONDS, Wishes

__all__ = ["AbstractTrialListener", "RunningTrial", "Stopping", "TrialRunner"]


class AbstractTrialListener(ABC):
    """Hears of trials while they run; an ended one goes to `TrialRunner.record`."""

    @abstractmethod
    def started(self, proposal: Proposal, slot: int) -> None:
        """Hear of a trial that was placed in a slot."""

    @abstractmethod
    def epoch_ended(self, proposal: Proposal, slot: int, epoch: EpochReport) -> None:
        """Hear of a trial's epoch."""

    @abstractmethod
    def progressed(self, proposal: Proposal, slot: int, payload: object) -> None:
        """Hear of anything else that the work yielded."""

    @abstractmethod
    def failed(self, proposal: Proposal, failure: Failure) -> None:
        """Hear of what a trial raised, before anything follows from it."""

    @abstractmethod
    def retried(self, proposal: Proposal, slot: int, retry: RetryReport) -> None:
        """Hear of a failed trial that runs again."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """Early stopping."""

    stopper: AbstractStopper
    """Knows the epochs of earlier trials."""
    metric: str
    """What it judges."""
    length: Callable[[Proposal], int]
    """Epochs of a trial: it is not judged at its own last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRunner:
    """What a trial does, and what follows."""

    objectives: Sequence[Objective]
    """The study's."""
    work: WorkFunction
    """Yields an `EpochReport` per epoch and anything else as a sign of life; returns metric →
    number. Where a static limit is broken it may return the static metrics alone."""
    arguments: Callable[[Proposal, int], Mapping[str, object]]
    """Keyword arguments of the work for a trial whose micro-batches were halved so many times."""
    record: Callable[[TrialReport, Mapping[int, Point]], None]
    """Takes an ended trial, and number → parameters of those that still run; when it returns,
    the record is safe."""
    listener: AbstractTrialListener
    actions: Callable[[FailureClass], Sequence[FailureAction]]
    """The failure policy."""
    max_failed: int
    """More failed trials than this end the search with an error."""
    timeout: float
    """Seconds that a trial may be silent."""
    can_shrink: Callable[[Proposal, int], bool]
    """Whether a trial's micro-batches can be halved so many times."""
    limits: Sequence[TrialLimit] = ()
    stopping: Stopping | None = None
    heed: Callable[[], Wishes] = Wishes
    """Asked between events for what is wanted now; what it raises ends the search."""
    pulse: float = PULSE_SECONDS
    """Seconds after which it is asked again although nothing happened."""
    is_team: bool = False
    """Whether the work runs in all processes of a slot."""
    attempt: int = 1


@dataclass(slots=True)
class RunningTrial:
    """A trial while it runs."""

    proposal: Proposal
    slot: int
    start: float
    heard: float
    """When it gave its last sign of life."""
    epochs: list[EpochReport] = field(default_factory=list)
    retries: list[RetryReport] = field(default_factory=list)
    positions: defaultdict[FailureClass, int] = field(default_factory=lambda: defaultdict(int))
    """Class → the next action of its policy."""
    shrinks: int = 0
    is_stopping: bool = False

    def note(self, epoch: EpochReport) -> None:
        """Take an epoch; a trial that runs again may repeat some."""
        self.epochs = [known for known in self.epochs if known.epoch < epoch.epoch]
        self.epochs.append(epoch)

    def stopped(self) -> Verdict:
        """Return the verdict of a trial that was stopped early: its last epoch's metrics."""
        return Verdict(TrialState.STOPPED, metrics=self.epochs[-1].metrics)

    def retry(self, failure: Failure, action: FailureAction, *, now: float) -> None:
        """Note that it runs again."""
        self.retries.append(
            RetryReport(failure_class=failure.failure_class, message=failure.message, action=action)
        )
        self.shrinks += action is FailureAction.SHRINK_BATCH
        self.heard = now
        self.is_stopping = False
