"""The events of a job: reasons as a closed set, each with its type.

Events are for people who watch a job. The driver puts some into its report, the operator adds its
own and posts all of them, at most one per reason and 5 minutes.
"""

from enum import StrEnum

__all__ = ["EventReason", "EventType"]


class EventType(StrEnum):
    """How Kubernetes sorts events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventReason(StrEnum):
    """What happened to a job."""

    ACCEPTED = "Accepted"
    """The manifest is valid and can run here."""
    QUEUED = "Queued"
    """The RayJob waits for quota."""
    CLUSTER_CREATED = "ClusterCreated"
    """A RayJob was created for an attempt."""
    STAGE_STARTED = "StageStarted"
    """A stage began."""
    STAGE_SUCCEEDED = "StageSucceeded"
    """A stage ended well."""
    STAGE_CACHED = "StageCached"
    """The stored result of a stage still fits its inputs."""
    STAGE_SKIPPED = "StageSkipped"
    """A stage was not asked for, by the manifest or by the profile."""
    NEW_BEST = "NewBest"
    """A trial is better than all before it."""
    CANDIDATE_REJECTED = "CandidateRejected"
    """A candidate gains nothing, or breaks the accuracy budget."""
    SUSPENDED = "Suspended"
    """The cluster is gone, the study is kept."""
    RESUMED = "Resumed"
    """A new attempt goes on with the study."""
    RETRYING = "Retrying"
    """An attempt failed and a new one starts."""
    CHILD_RESTORED = "ChildRestored"
    """An object of the job that was deleted or edited is as it should be again."""
    STUDY_EXTENDED = "StudyExtended"
    """numTrials was raised after the end."""
    COMPLETED = "Completed"
    """All stages ended and there is a result."""
    INVALID_SPEC = "InvalidSpec"
    """The manifest cannot run here; the message names the field."""
    CLUSTER_FAILED = "ClusterFailed"
    """An attempt ended without a result; the message has the last words of its log."""
    TRIALS_FAILING = "TrialsFailing"
    """Several trials failed."""
    PRECISION_FALLBACK = "PrecisionFallback"
    """A training went on in a wider type."""
    CONSTRAINT_MISSED = "ConstraintMissed"
    """What ships misses a limit."""
    BUDGET_BELOW_NOISE = "BudgetBelowNoise"
    """The accuracy budget is less than two samples of the validation split."""
    TARGET_UNMEASURED = "TargetUnmeasured"
    """A target was not measured."""
    SAMPLES_SKIPPED = "SamplesSkipped"
    """Unreadable samples were left out."""
    CHECKPOINT_REFUSED = "CheckpointRefused"
    """A checkpoint did not match its hash."""
    REPORT_STALE = "ReportStale"
    """A report was dropped: of another job, an older attempt, or one that was seen before."""
    DEGRADED = "Degraded"
    """The job waits for something outside it."""
    FAILED = "Failed"
    """The job ended without a result."""

    @property
    def type(self) -> EventType:
        """Return whether the reason is a warning."""
        return EventType.WARNING if self in _WARNINGS else EventType.NORMAL


_WARNINGS = frozenset(
    {
        EventReason.INVALID_SPEC,
        EventReason.CLUSTER_FAILED,
        EventReason.TRIALS_FAILING,
        EventReason.PRECISION_FALLBACK,
        EventReason.CONSTRAINT_MISSED,
        EventReason.BUDGET_BELOW_NOISE,
        EventReason.TARGET_UNMEASURED,
        EventReason.SAMPLES_SKIPPED,
        EventReason.CHECKPOINT_REFUSED,
        EventReason.REPORT_STALE,
        EventReason.DEGRADED,
        EventReason.FAILED,
    }
)
