"""What is known of a job: conditions, one summary per stage, best trial, targets, result.

Every field is optional and every list bounded, so that a status of any age can be read and the
object stays small. Metric maps use `metric` or, for what a target measures, `metric@target`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.goals import TargetDevice

__all__ = [
    "METRICS_LIMIT",
    "BaselineStatus",
    "BestTrial",
    "BudgetStatus",
    "ClusterStatus",
    "Condition",
    "FailureClass",
    "FailureCount",
    "GpuSeconds",
    "JobState",
    "Message",
    "MetricMap",
    "ParameterValue",
    "ParetoPoint",
    "PrecisionStatus",
    "ResultStatus",
    "StageStatus",
    "Status",
    "TargetState",
    "TargetStatus",
    "TrialCounts",
    "TrialState",
]

Message = Annotated[str, StringConstraints(max_length=256)]
METRICS_LIMIT = 80
"""Entries of a map of metrics."""
MetricMap = Annotated[dict[str, float], Field(max_length=METRICS_LIMIT)]


class JobState(StrEnum):
    """The conditions in one word, for people; no code reads it."""

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class TrialState(StrEnum):
    """How a trial is or ended."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"
    INFEASIBLE = "Infeasible"
    CACHED = "Cached"


class FailureClass(StrEnum):
    """Why a trial or a piece of work ended without a value."""

    OOM = "OOM"
    DIVERGED = "Diverged"
    TRIAL_ERROR = "TrialError"
    USER_ERROR = "UserError"
    TIMEOUT = "Timeout"
    NODE_LOST = "NodeLost"
    PREEMPTED = "Preempted"


class Condition(ApiModel):
    """One statement about the job, as Kubernetes spells them."""

    type: ConditionType
    """What is stated."""
    status: Annotated[str, StringConstraints(pattern="^(True|False|Unknown)$")]
    """True, False or Unknown."""
    reason: Annotated[str, StringConstraints(max_length=64)]
    """Why, one word of the catalogue."""
    message: Message = ""
    """Why, for people."""
    last_transition_time: str
    """When status changed last, RFC 3339."""


class TrialCounts(ApiModel):
    """Trials by state."""

    summary: str = ""
    """Ended and total, such as 25/40."""
    total: int = 0
    """Trials asked for."""
    running: int = 0
    """Trials in progress."""
    succeeded: int = 0
    """Trials with a value."""
    failed: int = 0
    """Trials that raised or diverged."""
    stopped: int = 0
    """Trials stopped early."""
    infeasible: int = 0
    """Trials that broke a static limit or the memory."""
    cached: int = 0
    """Trials taken from an earlier study."""


class ParameterValue(ApiModel):
    """One parameter of a trial."""

    name: str
    """Path of the field it replaces."""
    value: Scalar
    """Its value."""


class BestTrial(ApiModel):
    """The best trial so far."""

    trial: int
    """Its number, counted from 0."""
    value: float
    """Its value of the primary objective."""
    parameters: Annotated[tuple[ParameterValue, ...], Field(max_length=32)] = ()
    """Its parameters."""
    metrics: MetricMap = Field(default_factory=dict)
    """Its metrics on the validation split."""


class BaselineStatus(ApiModel):
    """The dense fp32 model, as exported."""

    artifact: str | None = None
    """Its file, relative to storage."""
    metrics: MetricMap = Field(default_factory=dict)
    """Measured on the exported file."""


class BudgetStatus(ApiModel):
    """The accuracy budget that the stages share, in points of the metric."""

    metric: str
    """The primary metric."""
    allowed: float
    """Drop allowed in all."""
    resolution: float
    """One sample of the validation split: differences below it are not visible."""
    spent: MetricMap = Field(default_factory=dict)
    """Drop per stage; negative where a stage gained."""
    remaining: float
    """What is left."""


class ParetoPoint(ApiModel):
    """A candidate that no other beats in every metric."""

    id: str
    """The candidate."""
    feasible: bool
    """Whether it keeps every limit."""
    metrics: MetricMap = Field(default_factory=dict)
    """Metrics named in objectives and constraints."""


class StageStatus(ApiModel):
    """One stage."""

    name: StageName
    """The stage word."""
    state: StageState = StageState.WAITING
    """How far it is."""
    reason: StageReason | FailureClass | None = None
    """Why it ended so, where the state alone does not tell."""
    start_time: str | None = None
    """RFC 3339."""
    completion_time: str | None = None
    """RFC 3339."""
    input_hash: str | None = None
    """SHA-256 over everything that the stage depends on; a finished stage is reused only if it matches."""
    metrics: MetricMap = Field(default_factory=dict)
    """Its main figures."""
    artifact: str | None = None
    """What it leaves, relative to storage."""
    message: Message = ""
    """For people."""


class TargetState(StrEnum):
    """Whether a target was measured."""

    WAITING = "Waiting"
    MEASURING = "Measuring"
    MEASURED = "Measured"
    UNMEASURED = "Unmeasured"


class TargetStatus(ApiModel):
    """What ships for one target."""

    name: str
    """The target."""
    state: TargetState = TargetState.WAITING
    """Whether it was measured."""
    candidate: str | None = None
    """The candidate that ships."""
    format: str | None = None
    """Format of its file."""
    artifact: str | None = None
    """Its file, relative to storage."""
    digest: str | None = None
    """SHA-256 of the file."""
    metrics: MetricMap = Field(default_factory=dict)
    """Its metrics on this target."""
    goals_met: bool | None = None
    """Whether it keeps every limit."""
    limiting_constraint: str | None = None
    """The limit that is missed most, or that is nearest to being missed."""
    node: str | None = None
    """Where it was measured."""
    device: TargetDevice | None = None
    """What its runtime computed on there."""
    proxy: bool | None = None
    """True where it was measured on another machine or device than the target's."""


class ResultStatus(ApiModel):
    """The first target's pick in a line."""

    candidate: str
    """The candidate."""
    value: float
    """Primary metric on the validation split."""
    drop: float
    """Worsening of the primary metric against the baseline; negative where it gained."""
    speedup: float | None = None
    """p50 latency of the baseline over its own, measured side by side."""
    size_mib: Annotated[float | None, Field(alias="sizeMiB")] = None
    """Size of the file."""
    artifact: str
    """The file, relative to storage."""
    report: str = "report.html"
    """The report, relative to storage."""


class PrecisionStatus(ApiModel):
    """Numeric precision that training really used."""

    dtype: str
    """Type that autocast computed in."""
    emulated: bool = False
    """True where the device computes it in another type."""
    loss_scale: float | None = None
    """The last loss scale of the final training; absent where the loss is not scaled."""
    overflows: int = 0
    """Steps skipped because a gradient overflowed, over all trainings of the job."""
    fallbacks: int = 0
    """Times that a training went on in a wider type, over all trainings of the job."""


class FailureCount(ApiModel):
    """Failed trials of one class."""

    failure_class: Annotated[FailureClass, Field(alias="class")]
    """The class."""
    count: int
    """How many."""
    last_message: Message = ""
    """What the last one said."""


class GpuSeconds(ApiModel):
    """Time of GPUs, in seconds of one, over all attempts."""

    used: float
    """Held by trials that ended, by training and by pruning."""
    saved: float
    """Not needed, by what a trial took on average when it was saved."""


class ClusterStatus(ApiModel):
    """The Ray cluster of the current attempt."""

    ray_job: str | None = None
    """Name of its RayJob."""
    ray_cluster: str | None = None
    """Name of its RayCluster."""
    workers_ready: int | None = None
    """Workers that are ready."""
    workers_desired: int | None = None
    """Workers asked for."""


class Status(ApiModel):
    """Everything that is known of a job in short; the history of trials is never in it."""

    observed_generation: int | None = None
    """The edit of the spec that this tells of."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Statements, one per type."""
    state: JobState | None = None
    """The conditions in one word, for people."""
    stage: StageName | None = None
    """The stage that runs or ran last."""
    attempt: int | None = None
    """Which start this is, counted from 1."""
    failed_attempts: int | None = None
    """Attempts before this one that count against spec.backoffLimit."""
    active_seconds: float | None = None
    """Time before this attempt that counts against spec.activeDeadlineSeconds."""
    message: Message | None = None
    """For people."""
    start_time: str | None = None
    """RFC 3339."""
    completion_time: str | None = None
    """RFC 3339."""
    storage: str | None = None
    """The root that every path below is relative to."""
    cluster: ClusterStatus | None = None
    """The Ray cluster of the current attempt."""
    trials: TrialCounts | None = None
    """Trials by state."""
    best: BestTrial | None = None
    """The best trial."""
    baseline: BaselineStatus | None = None
    """The dense fp32 model."""
    budget: BudgetStatus | None = None
    """The accuracy budget; absent without a limit on the primary metric's drop."""
    pareto: Annotated[tuple[ParetoPoint, ...], Field(max_length=10)] = ()
    """Candidates that no other beats in every metric, best first."""
    pareto_total: int | None = None
    """How many such candidates there are."""
    stages: Annotated[tuple[StageStatus, ...], Field(max_length=6)] = ()
    """One entry per stage."""
    targets: Annotated[tuple[TargetStatus, ...], Field(max_length=8)] = ()
    """One entry per target."""
    result: ResultStatus | None = None
    """What ships for the first target."""
    precision: PrecisionStatus | None = None
    """Precision of training."""
    gpu_seconds: GpuSeconds | None = None
    """Time of GPUs; absent where none is used."""
    failures: Annotated[tuple[FailureCount, ...], Field(max_length=7)] = ()
    """Failed trials by class."""
