"""What is remembered of an attempt, how attempts are counted, and when the next one may start.

The record lies in an annotation of the attempt's spec ConfigMap, which only the operator writes:
its state survives a restart, and a crash between two writes is seen by which objects exist. A
RayJob is made before its ConfigMap; so a ConfigMap without a RayJob means that the RayJob was
deleted, never that it is still to be made.
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from trimtab_api.v1alpha1._base import ApiModel, Mutability
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.reconcile.plan_settings import PlanSettings

__all__ = [
    "AttemptEnd",
    "AttemptRecord",
    "EndCause",
    "fingerprint_next",
    "parse_record",
    "pause_before_next",
    "render_record",
]


class EndCause(StrEnum):
    """Why an attempt is over."""

    FINISHED = "Finished"
    """All stages ended."""
    JOB_FAILED = "JobFailed"
    """The driver says that a retry would not help."""
    SUSPENDED = "Suspended"
    """spec.suspend."""
    STOPPED = "Stopped"
    """The driver was told to stop by its node, and left a checkpoint."""
    EVICTED = "Evicted"
    """A queue took the quota back."""
    SPEC_EDITED = "SpecEdited"
    """A field for the next attempt changed before the workers were ready."""
    DELETED = "Deleted"
    """Somebody deleted the RayJob."""
    DEADLINE = "Deadline"
    """The job or the attempt took too long."""
    HEAD_LOST = "HeadLost"
    """The head pod was deleted, or its node is gone."""
    SUBMITTER_LOST = "SubmitterLost"
    """The pod through which KubeRay watches the driver is gone."""
    HEAD_CRASHED = "HeadCrashed"
    """The head's container ended by itself."""
    SUBMISSION_FAILED = "SubmissionFailed"
    """The driver was never started."""
    APP_FAILED = "AppFailed"
    """The driver ended with an error that is not the user's, or without a word."""
    STALLED = "Stalled"
    """The driver reported nothing for too long."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """The image of a pod could not be pulled for too long."""
    CONTAINER_FAILED = "ContainerFailed"
    """A container of a pod could not be started for too long, or ended again and again."""
    RAY_JOB_INVALID = "RayJobInvalid"
    """KubeRay refuses the RayJob."""
    STATUS_UNKNOWN = "StatusUnknown"
    """KubeRay ended it with words that this version does not know."""

    @property
    def counts(self) -> bool:
        """Return whether it is a failed attempt against spec.backoffLimit."""
        return self in _COUNTED

    @property
    def is_trouble(self) -> bool:
        """Return whether something went wrong."""
        return self.counts or self in _TROUBLE


_COUNTED = frozenset(
    {
        EndCause.HEAD_CRASHED,
        EndCause.SUBMISSION_FAILED,
        EndCause.APP_FAILED,
        EndCause.STALLED,
        EndCause.IMAGE_PULL_FAILED,
        EndCause.CONTAINER_FAILED,
        EndCause.RAY_JOB_INVALID,
        EndCause.STATUS_UNKNOWN,
    }
)


_TROUBLE = frozenset(
    {
        EndCause.DEADLINE,
        EndCause.HEAD_LOST,
        EndCause.JOB_FAILED,
        EndCause.SUBMITTER_LOST,
    }
)
_AT_ONCE = frozenset(
    {
        EndCause.FINISHED,
        EndCause.JOB_FAILED,
        EndCause.SUSPENDED,
        EndCause.EVICTED,
        EndCause.SPEC_EDITED,
        EndCause.DELETED,
        EndCause.DEADLINE,
    }
)


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AttemptEnd(_Stored):
    """How an attempt ended."""

    cause: EndCause
    at: datetime
    message: Annotated[str, Field(max_length=256)] = ""
    failure: FailedReason | None = None
    """The job ends with it; None where another attempt or the result follows."""
    num_trials: int | None = None
    """Trials that were asked for then, so that a raise is seen afterwards."""


class AttemptRecord(_Stored):
    """What is remembered of one attempt."""

    failures: Annotated[int, Field(ge=0)] = 0
    """Failed attempts before it."""
    active_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Time that the job was active before it."""
    retry: str = ""
    """Value of the retry annotation that is done with."""
    fingerprint: str = ""
    """Over the fields that only a new attempt can take over."""
    admitted: datetime | None = None
    """When a queue let it start; None without a queue, or before."""
    end: AttemptEnd | None = None

    @property
    def failures_after(self) -> int:
        """Return how many attempts failed up to and with this one."""
        counted = self.end is not None and self.end.cause.counts
        return self.failures + (1 if counted else 0)


def parse_record(text: str | None) -> AttemptRecord:
    """Return the record of an annotation; what cannot be read counts as nothing remembered."""
    try:
        return AttemptRecord.model_validate_json(text or "{}")
    except ValidationError:
        return AttemptRecord()


def render_record(record: AttemptRecord) -> str:
    """Return the text of the annotation."""
    return record.model_dump_json(exclude_defaults=True)


def pause_before_next(record: AttemptRecord, settings: PlanSettings) -> float:
    """Return the seconds from the end of an attempt to the start of the next.

    It doubles with each failed attempt. What cost a pod waits a little, because its node may be in
    trouble; nobody waits for what a user or a queue did.
    """
    end = record.end
    if end is None or end.cause in _AT_ONCE:
        return 0.0
    failures = record.failures if end.cause.counts else 0
    return min(settings.longest_backoff, settings.first_backoff * 2.0 ** min(failures, 30))


def fingerprint_next(spec: Spec) -> str:
    """Return the SHA-256, in hex, over the fields that only a new attempt takes over.

    Defaults are left out, so that an operator that knows more fields finds the same.

    Args:
        spec: As written, not expanded.
    """
    return hashlib.sha256(to_json(_next_part(spec))).hexdigest()


def _next_part(model: ApiModel) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted(type(model).model_fields):
        value = getattr(model, name)
        if model.mutability.get(name) is Mutability.NEXT_ATTEMPT:
            found |= model.model_dump(mode="json", include={name}, exclude_defaults=True)
        elif isinstance(value, ApiModel) and (inner := _next_part(value)):
            found[name] = inner
    return found
