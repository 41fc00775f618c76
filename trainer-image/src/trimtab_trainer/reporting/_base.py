"""What a run tells while it goes on, and who listens.

The pipeline and the stages publish events; the terminal (in the command line) and, in a cluster,
the ConfigMap's writer implement `AbstractReporter`. Events are facts, never instructions.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab_api.reports import CandidateReport, TrialReport
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass

__all__ = [
    "AbstractReporter",
    "CandidateMeasured",
    "CheckpointRefused",
    "Event",
    "NewBest",
    "PrecisionFallback",
    "ProblemRaised",
    "ProblemSolved",
    "RunResumed",
    "RunStarted",
    "SamplesSkipped",
    "StageEnded",
    "StageProgress",
    "StageStarted",
    "TrialEnded",
    "TrialProgress",
    "TrialRetried",
    "TrialStarted",
    "WarningRaised",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A start begins: processes come up and the job is checked, which takes seconds."""


@dataclass(frozen=True, slots=True)
class RunResumed:
    """An unfinished folder goes on."""

    trials: int
    """Trials that were finished before."""
    attempt: int


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins, or goes on; search counts trials, train epochs, the others their steps."""

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
    """What was done; empty where only the bar moves, such as within an epoch."""
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
    """A running trial ended an epoch, or is on its way through the next one."""

    number: int
    slot: int
    epoch: int
    """Epochs that ended."""
    epochs: int
    metrics: Mapping[str, float]
    """Of the last epoch that ended; empty before the first."""
    fraction: float = 0.0
    """How much of the epoch after `epoch` is done, 0…1."""
    loss_scale: float | None = None
    """Of the last epoch that ended; absent where the loss is not scaled."""


@dataclass(frozen=True, slots=True)
class TrialRetried:
    """A trial failed and runs again, in the same place of the study."""

    number: int
    slot: int
    failure_class: FailureClass
    message: str
    action: FailureAction
    """What is done about the failure."""


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


@dataclass(frozen=True, slots=True)
class ProblemRaised:
    """The run waits for something outside it."""

    reason: DegradedReason
    message: str


@dataclass(frozen=True, slots=True)
class ProblemSolved:
    """What the run waited for is there again."""

    reason: DegradedReason
    """The reason of the problem that is gone."""
    seconds: float
    """How long the run waited."""


@dataclass(frozen=True, slots=True)
class SamplesSkipped:
    """Samples of the data set cannot be read and are left out."""

    count: int
    names: Sequence[str]
    """The first of them."""


@dataclass(frozen=True, slots=True)
class CheckpointRefused:
    """A checkpoint failed its check; an older one is taken, or the training starts over."""

    message: str
    """Which one, and why."""


@dataclass(frozen=True, slots=True)
class PrecisionFallback:
    """A training went on in a wider type."""

    where: str
    """Which training, such as `trial 4` or `train`."""
    from_dtype: str
    to_dtype: str


Event = (
    RunStarted
    | RunResumed
    | StageStarted
    | StageProgress
    | StageEnded
    | TrialStarted
    | TrialProgress
    | TrialRetried
    | TrialEnded
    | NewBest
    | CandidateMeasured
    | WarningRaised
    | ProblemRaised
    | ProblemSolved
    | SamplesSkipped
    | CheckpointRefused
    | PrecisionFallback
)


class AbstractReporter(ABC):
    """Listens to a run. It is called from one thread and must return quickly."""

    @abstractmethod
    def publish(self, event: Event) -> None:
        """Take an event; never raises, since no listener may fail a run."""
