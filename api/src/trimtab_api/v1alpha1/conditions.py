"""Condition types and their reasons, one sentence each.

The vocabulary of `status.conditions`. A local run sets GoalsMet, Degraded, Complete and Failed;
the others tell of a cluster and are the operator's.
"""

from enum import StrEnum

__all__ = [
    "CONDITION_REASONS",
    "AcceptedReason",
    "ClusterReadyReason",
    "CompleteReason",
    "ConditionType",
    "DegradedReason",
    "FailedReason",
    "GoalsMetReason",
    "QueuedReason",
    "ScheduledReason",
    "SuspendedReason",
]


class ConditionType(StrEnum):
    """What can be said about a job, besides its state in one word."""

    ACCEPTED = "Accepted"
    """The manifest is valid and what it names exists."""
    QUEUED = "Queued"
    """A queue holds the job back; only with a queue label."""
    SCHEDULED = "Scheduled"
    """Every pod of the attempt has a node."""
    CLUSTER_READY = "ClusterReady"
    """The Ray cluster of the attempt is up."""
    GOALS_MET = "GoalsMet"
    """Every constraint holds on every target for the shipped candidates."""
    SUSPENDED = "Suspended"
    """The job holds no machines and goes on when it is resumed."""
    DEGRADED = "Degraded"
    """The job waits for something outside it, and goes on by itself."""
    COMPLETE = "Complete"
    """Terminal: all stages ended and there is a result."""
    FAILED = "Failed"
    """Terminal: the job ended without a result."""


class AcceptedReason(StrEnum):
    """Why condition Accepted has its value."""

    SPEC_ACCEPTED = "SpecAccepted"
    """The manifest is valid and what it names exists."""
    INVALID_SPEC = "InvalidSpec"
    """The manifest breaks a rule that the API server cannot check; the message names the field."""
    CLAIM_NOT_FOUND = "ClaimNotFound"
    """A claim that the manifest names does not exist in the namespace."""
    STORAGE_MISSING = "StorageMissing"
    """Neither spec.storage nor the operator says where to store."""


class QueuedReason(StrEnum):
    """Why condition Queued has its value."""

    WAITING_FOR_QUOTA = "WaitingForQuota"
    """The queue has not admitted the RayJob yet."""
    EVICTED = "Evicted"
    """The queue took back the quota of a running attempt."""
    ADMITTED = "Admitted"
    """The queue lets the RayJob run."""


class ScheduledReason(StrEnum):
    """Why condition Scheduled has its value."""

    PODS_SCHEDULED = "PodsScheduled"
    """Every pod has a node."""
    UNSCHEDULABLE = "Unschedulable"
    """No node takes a pod; the message has the scheduler's words."""
    PODS_PENDING = "PodsPending"
    """Pods are still to be created or placed."""
    PODS_REFUSED = "PodsRefused"
    """The API server refuses the pods, or what makes them; the message has its words."""


class ClusterReadyReason(StrEnum):
    """Why condition ClusterReady has its value."""

    WORKERS_READY = "WorkersReady"
    """Head and workers are ready."""
    PROVISIONING = "Provisioning"
    """The cluster is being made."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """The image of a pod cannot be pulled."""
    PODS_WAITING = "PodsWaiting"
    """A container cannot start; the message has its waiting reason."""
    HEAD_LOST = "HeadLost"
    """The head pod is gone and the attempt with it."""
    STOPPED = "Stopped"
    """No cluster runs: the job is suspended, ended, or between two attempts."""
    RAY_JOB_INVALID = "RayJobInvalid"
    """KubeRay refuses the RayJob."""
    SUBMISSION_FAILED = "SubmissionFailed"
    """The driver could not be submitted, or its submitter was lost."""
    APP_FAILED = "AppFailed"
    """The driver ended with an error that is not the user's."""
    STATUS_UNKNOWN = "StatusUnknown"
    """KubeRay says something that this version does not know; the message has the raw text."""


class GoalsMetReason(StrEnum):
    """Why condition GoalsMet has its value."""

    ALL_CONSTRAINTS_MET = "AllConstraintsMet"
    """The shipped candidate of each target keeps every limit."""
    ACCURACY_BUDGET_EXCEEDED = "AccuracyBudgetExceeded"
    """The limit that is missed is the accuracy budget."""
    CONSTRAINT_MISSED = "ConstraintMissed"
    """Another limit is missed; the message names it."""
    TARGET_UNMEASURED = "TargetUnmeasured"
    """No candidate has figures on a target; the message names it."""
    NOT_MEASURED = "NotMeasured"
    """The job has not come to its benchmark stage."""


class SuspendedReason(StrEnum):
    """Why condition Suspended has its value."""

    SUSPENDED_BY_SPEC = "SuspendedBySpec"
    """spec.suspend is true."""
    SUSPENDED_BY_QUEUE = "SuspendedByQueue"
    """The queue holds the job back."""
    RESUMED = "Resumed"
    """The job goes on."""


class DegradedReason(StrEnum):
    """Why condition Degraded has its value."""

    KUBERAY_MISSING = "KubeRayMissing"
    """KubeRay is not installed, too old, or does not answer."""
    FORBIDDEN = "Forbidden"
    """The operator lacks a right; the message names verb and resource."""
    FIELD_CONFLICT = "FieldConflict"
    """Another manager owns a field of a child; the message names it."""
    NAME_CONFLICT = "NameConflict"
    """The name of a child is taken by an object that is not the job's."""
    REPORT_INVALID = "ReportInvalid"
    """The driver's report cannot be read; the last good one counts."""
    DRIVER_STALLED = "DriverStalled"
    """The driver has not reported for a while."""
    STORAGE_FULL = "StorageFull"
    """There is no room where the run keeps its files; it waits until there is."""
    STORAGE_UNREACHABLE = "StorageUnreachable"
    """The place where the run keeps its files does not answer; it waits until it does."""
    RECOVERED = "Recovered"
    """What the job waited for is there again."""


class CompleteReason(StrEnum):
    """Why condition Complete has its value."""

    FINISHED = "Finished"
    """All stages ended; with GoalsMet=False the nearest candidate is the result."""
    STUDY_EXTENDED = "StudyExtended"
    """numTrials was raised after the end: the study goes on."""


class FailedReason(StrEnum):
    """Why condition Failed is True."""

    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    """More attempts failed than spec.backoffLimit allows."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The job took longer than spec.activeDeadlineSeconds."""
    PRE_RUNNING_DEADLINE_EXCEEDED = "PreRunningDeadlineExceeded"
    """The workers were not ready within spec.preRunningDeadlineSeconds."""
    TOO_MANY_FAILED_TRIALS = "TooManyFailedTrials"
    """More trials failed than search.maxFailedTrials allows."""
    USER_ERROR = "UserError"
    """The manifest or the user's code cannot work; a retry would not help."""
    DATASET_UNAVAILABLE = "DatasetUnavailable"
    """The data set is not where the manifest says."""
    DATASET_INVALID = "DatasetInvalid"
    """A sample or a split of the data set cannot be used."""
    TRIAL_LOG_CORRUPT = "TrialLogCorrupt"
    """A record in the middle of the trial log fails its checksum."""
    STUDY_MISMATCH = "StudyMismatch"
    """The trial log belongs to another study."""


CONDITION_REASONS: dict[ConditionType, type[StrEnum]] = {
    ConditionType.ACCEPTED: AcceptedReason,
    ConditionType.QUEUED: QueuedReason,
    ConditionType.SCHEDULED: ScheduledReason,
    ConditionType.CLUSTER_READY: ClusterReadyReason,
    ConditionType.GOALS_MET: GoalsMetReason,
    ConditionType.SUSPENDED: SuspendedReason,
    ConditionType.DEGRADED: DegradedReason,
    ConditionType.COMPLETE: CompleteReason,
    ConditionType.FAILED: FailedReason,
}
"""The reasons that a condition may have."""
