"""What driver and operator tell each other through the report ConfigMap: one model per key.

The driver and the Jobs of targets write, the operator reads; control.json goes the other way.
Whoever runs code in the job's pods can forge a report, so `untrusted` checks size, types, numbers
and characters before anything of it reaches a status.
"""

from collections.abc import Callable, Hashable, Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from trimtab_api.candidates import CandidateSummary
from trimtab_api.events import EventReason, EventType
from trimtab_api.labels import KEY_CONTROL, KEY_PROGRESS
from trimtab_api.margins import MOST_MARGINS, LimitMargin
from trimtab_api.stages import StageName
from trimtab_api.techniques import MOST_CANDIDATES
from trimtab_api.untrusted import ReportInvalidError, parse_untrusted
from trimtab_api.v1alpha1._base import ApiModel, Rule
from trimtab_api.v1alpha1.conditions import DegradedReason, FailedReason
from trimtab_api.v1alpha1.goals import Profile, TargetDevice
from trimtab_api.v1alpha1.status import (
    BaselineStatus,
    BestTrial,
    BudgetStatus,
    FailureClass,
    FailureCount,
    GpuSeconds,
    Message,
    MetricMap,
    PrecisionStatus,
    StageStatus,
    TargetStatus,
    TrialCounts,
    TrialState,
)

__all__ = [
    "ENTRY_LIMIT",
    "PROGRESS_LIMIT",
    "PROGRESS_SCHEMA",
    "CandidateSummary",
    "Control",
    "Counters",
    "GpuSaving",
    "LastTrial",
    "LimitMargin",
    "Outcome",
    "OutcomeResult",
    "Problem",
    "ProgressReport",
    "ReportEvent",
    "ReportInvalidError",
    "RunningTrial",
    "StageEntry",
    "TargetReport",
    "parse_control",
    "parse_progress",
    "parse_stage",
    "parse_target",
]

PROGRESS_SCHEMA = 1
PROGRESS_LIMIT = 32 * 1024
"""Bytes of progress.json."""
ENTRY_LIMIT = 4 * 1024
"""Bytes of any other key."""

Schema = Annotated[int, Field(alias="schema", ge=PROGRESS_SCHEMA, le=PROGRESS_SCHEMA)]
Uid = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Attempt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


def _unique(field: str, keys: Callable[[Any], Sequence[Hashable]]) -> Rule:
    """Entries become keyed lists of the status, which the API server refuses with a key twice."""
    return Rule(
        cel=None,
        check=lambda report: len(set(keys(report))) == len(keys(report)),
        message="must name each entry once",
        field=field,
    )


class OutcomeResult(StrEnum):
    """How the driver ended."""

    SUCCEEDED = "Succeeded"
    """All stages ended; targets with a Job of their own may still be to measure."""
    FAILED = "Failed"
    """The job cannot go on; the reason tells why."""
    STOPPED = "Stopped"
    """It was told to stop, and left what the next attempt goes on with."""


class Outcome(ApiModel):
    """How the driver ended, since a Ray job shows no exit code."""

    result: OutcomeResult
    """Succeeded, Failed or Stopped."""
    reason: FailedReason | None = None
    """Why it failed; absent where it did not, or where a retry may help."""
    message: Message = ""
    """For people."""


class Problem(ApiModel):
    """What the driver waits for now."""

    reason: DegradedReason
    """StorageFull or StorageUnreachable."""
    message: Message = ""
    """For people."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=None,
            check=lambda self: (
                self.reason in {DegradedReason.STORAGE_FULL, DegradedReason.STORAGE_UNREACHABLE}
            ),
            message="must be StorageFull or StorageUnreachable",
            field="reason",
        ),
    )


class GpuSaving(StrEnum):
    """Why time of a GPU was not needed."""

    EARLY_STOPPING = "EarlyStopping"
    """A trial that would not win was stopped."""
    STATIC_CONSTRAINT = "StaticConstraint"
    """A trial past a limit that is known before training was not trained."""
    CACHE = "Cache"
    """What was trained before was taken."""


class LastTrial(ApiModel):
    """The trial that ended last."""

    trial: Count
    """Its number, counted from 0."""
    state: TrialState
    """How it ended."""
    metrics: Annotated[dict[str, float], Field(max_length=16)] = Field(default_factory=dict)
    """On the validation split, objectives first."""


class RunningTrial(ApiModel):
    """A trial in progress."""

    slot: Count
    """Where it runs."""
    trial: Count
    """Its number, counted from 0."""
    epoch: Count = 0
    """Epochs that are done."""
    epochs: Count | None = None
    """Epochs that it takes; absent where its length is given in steps."""
    metrics: Annotated[dict[str, float], Field(max_length=4)] = Field(default_factory=dict)
    """Of the last epoch."""
    loss_scale: float | None = None
    """Of the last epoch; absent where the loss is not scaled."""


class ReportEvent(ApiModel):
    """Something to post on the job, once."""

    id: Count
    """Grows with each event of an attempt."""
    type: EventType
    """Normal or Warning."""
    reason: EventReason
    """One of the catalogue."""
    message: Message
    """For people."""


class Counters(ApiModel):
    """Totals over all attempts, kept with the study."""

    stage_seconds: Annotated[dict[StageName, float], Field(max_length=6)] = Field(
        default_factory=dict
    )
    """Time spent per stage."""
    gpu_seconds_saved: Annotated[dict[GpuSaving, float], Field(max_length=3)] = Field(
        default_factory=dict
    )
    """GPU time that was not needed, by EarlyStopping, StaticConstraint and Cache."""
    retries: Annotated[dict[FailureClass, int], Field(max_length=7)] = Field(default_factory=dict)
    """Failures of trials after which they ran again, by class."""
    precision_fallbacks: Annotated[dict[str, int], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Times that a training went on in another type, by `from:to`."""


class ProgressReport(ApiModel):
    """Key progress.json: what the driver knows at one moment."""

    schema_version: Schema = PROGRESS_SCHEMA
    """Version of this key."""
    uid: Uid
    """The job's, so that a report of another is told apart."""
    attempt: Attempt
    """Whose report it is."""
    sequence: Count
    """Grows with each report of an attempt."""
    time: Annotated[str, StringConstraints(max_length=64)] = ""
    """RFC 3339, for people; ages count from when the operator saw `sequence` grow."""
    stage: StageName | None = None
    """What runs or ran last."""
    message: Message = ""
    """What it does now."""
    outcome: Outcome | None = None
    """How the driver ended; absent while it runs."""
    problem: Problem | None = None
    """What it waits for now."""
    profile: Profile | None = None
    """Class of hardware of targets that name none, as the workers are."""
    trials: TrialCounts | None = None
    """Trials by state."""
    best: BestTrial | None = None
    """The best trial."""
    baseline: BaselineStatus | None = None
    """The dense fp32 model."""
    budget: BudgetStatus | None = None
    """The accuracy budget."""
    candidates: Annotated[tuple[CandidateSummary, ...], Field(max_length=MOST_CANDIDATES)] = ()
    """Every exported model, the dense one first."""
    stages: Annotated[tuple[StageStatus, ...], Field(max_length=6)] = ()
    """One entry per stage."""
    targets: Annotated[tuple[TargetStatus, ...], Field(max_length=8)] = ()
    """Where targets were measured by the driver: name, node, device and proxy."""
    precision: PrecisionStatus | None = None
    """Precision of training."""
    gpu_seconds: GpuSeconds | None = None
    """Time of GPUs; absent where none is used."""
    failures: Annotated[tuple[FailureCount, ...], Field(max_length=7)] = ()
    """Failed trials by class."""
    running: Annotated[tuple[RunningTrial, ...], Field(max_length=16)] = ()
    """Trials in progress."""
    last_trial: LastTrial | None = None
    """The trial that ended last."""
    hypervolume: float | None = None
    """Quality of the Pareto front; 1 = that of the dense model alone."""
    margins: Annotated[tuple[LimitMargin, ...], Field(max_length=MOST_MARGINS)] = ()
    """Distance to each limit, of what would ship for each target that the driver measured."""
    counters: Counters = Field(default_factory=Counters)
    """Totals over all attempts."""
    events: Annotated[tuple[ReportEvent, ...], Field(max_length=20)] = ()
    """The last ones, the oldest first."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _unique("candidates", lambda self: [entry.id for entry in self.candidates]),
        _unique("stages", lambda self: [entry.name for entry in self.stages]),
        _unique("targets", lambda self: [entry.name for entry in self.targets]),
        _unique("failures", lambda self: [entry.failure_class for entry in self.failures]),
        _unique(
            "best", lambda self: [entry.name for entry in self.best.parameters] if self.best else []
        ),
    )


class StageEntry(ApiModel):
    """Key `<stage>.json`: a stage that ended, for people and tools."""

    schema_version: Schema = PROGRESS_SCHEMA
    """Version of this key."""
    uid: Uid
    """The job's."""
    attempt: Attempt
    """In which it ended."""
    stage: StageStatus
    """The stage."""


class TargetReport(ApiModel):
    """Key `target-<name>.json`: what the Job of a target measured on its node."""

    schema_version: Schema = PROGRESS_SCHEMA
    """Version of this key."""
    uid: Uid
    """The job's."""
    attempt: Attempt
    """Whose files were measured."""
    node: Annotated[str, StringConstraints(max_length=253)]
    """Where."""
    device: TargetDevice
    """What the runtime computed on there."""
    baseline: MetricMap
    """Of the dense model: names without the target."""
    candidates: Annotated[dict[str, MetricMap], Field(max_length=MOST_CANDIDATES)]
    """Candidate → its figures, `speedup` included; one that could not be timed is absent."""


class Control(ApiModel):
    """Key control.json: what the operator wants of a driver that runs."""

    attempt: Attempt
    """Whom it is for."""
    num_trials: Annotated[int, Field(ge=1)] | None = None
    """Trials of the study in all; absent without a search."""
    parallel_trials: Annotated[int, Field(ge=1)] | None = None
    """Trials at once, at most; absent without a search."""
    stop: bool = False
    """Whether to leave checkpoints and end."""


def parse_progress(text: str) -> ProgressReport:
    """Return the report in key progress.json.

    Raises:
        ReportInvalidError: It is too large, no JSON, or does not fit its model.
    """
    return parse_untrusted(text, ProgressReport, key=KEY_PROGRESS, limit=PROGRESS_LIMIT)


def parse_stage(text: str) -> StageEntry:
    """Return the entry in the key of a stage.

    Raises:
        ReportInvalidError: As for `parse_progress`.
    """
    return parse_untrusted(text, StageEntry, key="stage entry", limit=ENTRY_LIMIT)


def parse_target(text: str) -> TargetReport:
    """Return what a target's own Job measured.

    Raises:
        ReportInvalidError: As for `parse_progress`.
    """
    return parse_untrusted(text, TargetReport, key="target report", limit=ENTRY_LIMIT)


def parse_control(text: str) -> Control:
    """Return what the operator wants of the driver.

    Raises:
        ReportInvalidError: As for `parse_progress`.
    """
    return parse_untrusted(text, Control, key=KEY_CONTROL, limit=ENTRY_LIMIT)
