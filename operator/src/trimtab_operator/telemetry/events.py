"""Which events are posted on a job, and how they look.

The reconciler asks before each one. An event of a reason is posted once in five minutes per job.
Its name is made of what it says, so that it is not posted again after a restart of the operator or
by a second one that runs for a moment.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trimtab_api.events import EventReason
from trimtab_api.labels import MANAGED_BY
from trimtab_api.v1alpha1.job import API_VERSION, KIND

__all__ = ["Event", "EventLimiter", "JobReference", "build_event"]

_LONGEST_MESSAGE = 1024
_NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class JobReference:
    """The job that an event is about."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something to post.

    Attributes:
        reason: What happened; the type is the reason's.
        message: For people.
        key: Equal for what is to be posted once: the event in a report, or a span of time.
    """

    reason: EventReason
    message: str
    key: str


class EventLimiter:
    """Remembers when an event of a reason was last posted on a job."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: dict[tuple[str, EventReason], float] = {}

    def admit(self, uid: str, reason: EventReason, now: float) -> bool:
        """Return whether an event may be posted, and remember that it is.

        Args:
            uid: Of the job.
            reason: Of the event.
            now: Monotonic time in seconds.
        """
        last = self._last.get((uid, reason))
        if last is not None and now - last < self._seconds:
            return False
        self._last[uid, reason] = now
        return True

    def forget(self, uid: str) -> None:
        """Drop what is known of a job that is gone."""
        for key in [key for key in self._last if key[0] == uid]:
            del self._last[key]


def build_event(job: JobReference, event: Event, *, now: datetime) -> Mapping[str, Any]:
    """Return an Event object on a job.

    Args:
        job: What it is about.
        event: What to post.
        now: The API server's time.
    """
    identity = f"{job.uid}/{event.reason}/{event.key}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_NAME_DIGITS]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{job.name}.{digest}", "namespace": job.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
        },
        "type": str(event.reason.type),
        "reason": str(event.reason),
        "message": event.message[:_LONGEST_MESSAGE],
        "count": 1,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "source": {"component": MANAGED_BY},
        "reportingComponent": f"trimtab.dev/{MANAGED_BY}",
        "reportingInstance": MANAGED_BY,
    }
