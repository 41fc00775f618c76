"""What a run tells while it goes on, and who listens.

The pipeline and the stages publish events; the terminal (in the command line) and, in a cluster,
the ConfigMap's writer implement `AbstractReporter`. Events are facts, never instructions.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab_api.reports import CandidateReport, TrialReport
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.status import FailureClass

__all__ = [
    "AbstractReporter",
    "CandidateMeasured",
    "Event",
    "NewBest",
    "RunResumed",
    "StageEnded",
    "StageProgress",
    "StageStarted",
    "TrialEnded",
    "TrialProgress",
    "TrialStarted",
    "WarningRaised",
]


@dataclass(frozen=True, slots=True)
class RunResumed:
    """An unfinished folder goes on."""

    trials: int
    """Trials that were finished before."""
    attempt: int


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins; search counts trials, the others their own steps."""

    stage: StageName
    total: int | None = None
    """How many units of work it has, where that is known."""
    done: int = 0
    """How many of them an earlier start already did."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """A stage other than search did a unit of work."""

    stage: StageName
    done: float
    total: float | None
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage ended or was skipped."""

    stage: StageName
    state: StageState
    reason: StageReason | FailureClass | None = None
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial was placed in a slot."""

    number: int
    slot: int
    parameters: Mapping[str, Scalar]
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """A running trial ended an epoch."""

    number: int
    slot: int
    epoch: int
    epochs: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial ended and is in the trial log."""

    trial: TrialReport


@dataclass(frozen=True, slots=True)
class NewBest:
    """A trial beat all before it in the primary objective."""

    number: int
    metric: str
    value: float
    parameters: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class CandidateMeasured:
    """A model was exported, evaluated and timed; `rejected` tells whether it can ship."""

    candidate: CandidateReport


@dataclass(frozen=True, slots=True)
class WarningRaised:
    """Something the user should know, that does not end the run."""

    message: str


Event = (
    RunResumed
    | StageStarted
    | StageProgress
    | StageEnded
    | TrialStarted
    | TrialProgress
    | TrialEnded
    | NewBest
    | CandidateMeasured
    | WarningRaised
)


class AbstractReporter(ABC):
    """Listens to a run. It is called from one thread and must return quickly."""

    @abstractmethod
    def publish(self, event: Event) -> None:
        """Take an event; never raises, since no listener may fail a run."""
