"""Condition types and their reasons, one sentence each.

The vocabulary of `status.conditions`; a condition that this version never sets is not listed.
"""

from enum import StrEnum

__all__ = [
    "CompleteReason",
    "ConditionType",
    "DegradedReason",
    "FailedReason",
    "GoalsMetReason",
]


class ConditionType(StrEnum):
    """What can be said about a job, besides its state in one word."""

    GOALS_MET = "GoalsMet"
    """Every constraint holds on every target for the shipped candidates."""
    DEGRADED = "Degraded"
    """The job waits for something outside it, and goes on by itself."""
    COMPLETE = "Complete"
    """Terminal: all stages ended and there is a result."""
    FAILED = "Failed"
    """Terminal: the job ended without a result."""


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


class DegradedReason(StrEnum):
    """Why condition Degraded has its value."""

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
