"""Errors of the trainer: what happened, in words for the user, and how the run must react.

Raised by every layer of the trainer; the pipeline turns them into the outcome of the run, the
search loop into the failure of one trial. No other exception type is meant to reach a user.
"""

from typing import ClassVar

from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_api.v1alpha1.status import FailureClass

__all__ = [
    "CalibrationInvalidError",
    "CheckpointRefusedError",
    "DatasetInvalidError",
    "DatasetUnavailableError",
    "DivergedError",
    "EnvironmentMissingError",
    "ExportFailedError",
    "FencedError",
    "MetricInvalidError",
    "NetworkUnfitError",
    "OperatorUnsupportedError",
    "OutOfMemoryError",
    "PreemptedError",
    "RunStoppedError",
    "StudyMismatchError",
    "TargetUnmeasuredError",
    "TooManyFailedTrialsError",
    "TrainerError",
    "TrialLogCorruptError",
    "TrialTimeoutError",
    "UserError",
    "WorkerLostError",
]


class TrainerError(Exception):
    """Base of all; its text is one line that names what, value and expectation."""

    reason: ClassVar[FailedReason] = FailedReason.USER_ERROR
    """The reason of condition Failed when this error ends the job."""

    failure_class: ClassVar[FailureClass] = FailureClass.TRIAL_ERROR
    """How it is counted when it ends one trial."""


class UserError(TrainerError):
    """The manifest or the user's code asks for something that cannot work; never retried."""

    failure_class = FailureClass.USER_ERROR


class DatasetUnavailableError(TrainerError):
    """The data set is not where the manifest says."""

    reason = FailedReason.DATASET_UNAVAILABLE
    failure_class = FailureClass.USER_ERROR


class DatasetInvalidError(TrainerError):
    """The data set is there, and a sample or a split of it cannot be used."""

    reason = FailedReason.DATASET_INVALID
    failure_class = FailureClass.USER_ERROR


class TrialLogCorruptError(TrainerError):
    """A record of the trial log that is not the last one fails its checksum."""

    reason = FailedReason.TRIAL_LOG_CORRUPT


class StudyMismatchError(TrainerError):
    """The trial log belongs to another study: its fingerprint differs from the manifest's."""

    reason = FailedReason.STUDY_MISMATCH


class TooManyFailedTrialsError(TrainerError):
    """More trials failed than `search.maxFailedTrials` allows."""

    reason = FailedReason.TOO_MANY_FAILED_TRIALS


class MetricInvalidError(TrainerError):
    """An objective's metric is missing from a trial's results or is not a finite number."""


class NetworkUnfitError(TrainerError):
    """A trial's network cannot be pruned or quantized as the manifest asks; others may."""


class DivergedError(TrainerError):
    """Loss or metric became NaN or infinite."""

    failure_class = FailureClass.DIVERGED


class OutOfMemoryError(TrainerError):
    """The trial's process or its accelerator ran out of memory."""

    failure_class = FailureClass.OOM


class WorkerLostError(TrainerError):
    """The process that ran the work died."""

    failure_class = FailureClass.NODE_LOST


class PreemptedError(TrainerError):
    """The machine that runs the work is being taken away; raised where the work yields.

    Work that can go on elsewhere stores what it has and lets the error through.
    """

    failure_class = FailureClass.PREEMPTED


class RunStoppedError(Exception):
    """The run ends here because it was asked to; what is finished is stored, and nothing failed."""


class FencedError(Exception):
    """A later attempt of the job has begun: this one must not write any more."""


class ExportFailedError(TrainerError):
    """A model could not be exported, or the runtime refuses or changes the exported file."""


class CalibrationInvalidError(TrainerError):
    """The calibration samples give no usable ranges."""


class OperatorUnsupportedError(TrainerError):
    """No layer of a model can be quantized as asked."""


class CheckpointRefusedError(TrainerError):
    """A checkpoint fails its hash or is not a safetensors file; nothing of it was loaded."""


class EnvironmentMissingError(TrainerError):
    """This machine lacks a program or a permission that the run needs (exit code 5)."""


class TrialTimeoutError(TrainerError):
    """A trial said nothing for longer than `search.trialTimeoutSeconds`."""

    failure_class = FailureClass.TIMEOUT


class TargetUnmeasuredError(TrainerError):
    """The measuring process died or took longer than allowed; there are no figures."""
