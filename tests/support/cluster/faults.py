"""Faults between a client and a server, as values; `chaosproxy` and `store_proxy` act them out.

Changes of events are plain functions, or small objects that remember what they have shown.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cluster.api import Manifest

__all__ = [
    "Answer",
    "Armed",
    "EventChange",
    "Fault",
    "Loss",
    "Replay",
    "Seen",
    "both",
    "drop",
    "drop_news",
    "fail_once",
    "has_path",
    "is_write",
    "repeat",
    "writes_in",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that the proxy saw."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    """Who asked, as the Authorization header says it, without its scheme."""
    at: float = 0.0
    """When, on a monotonic clock, in seconds."""
    body: str = ""

    @property
    def is_watch(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.query.get("watch") in {"true", "1"}


class Loss(StrEnum):
    """How a request is lost."""

    REQUEST = "Request"
    """The connection breaks before the server sees the request."""
    ANSWER = "Answer"
    """The server does what is asked, the client never hears of it."""
    SILENCE = "Silence"
    """Nothing comes back and the connection stays open."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is told in place of the server's answer.

    Attributes:
        code: HTTP status.
        reason: Of the `Status` object.
        headers: Further headers.
        body: Sent as it is; None sends a `Status` object.
    """

    code: int
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to requests that a condition chooses.

    Attributes:
        chosen: The requests that count.
        effect: What the client gets; None lets the request pass as it is.
        passed: Number of chosen requests that pass before the first fault.
        times: Number of faults; None has no end.
        then: Called at each fault, in a thread: before the request where it is lost, else after
            the server has answered.
    """

    chosen: Callable[[Seen], bool]
    effect: Answer | Loss | None
    passed: int = 0
    times: int | None = 1
    then: Callable[[], None] | None = None


@dataclass(slots=True)
class Armed:
    """A fault and how often its condition held."""

    fault: Fault
    count: int = 0

    def fires(self, seen: Seen) -> bool:
        """Count a request that the condition chooses; tell whether the fault happens to it."""
        if not self.fault.chosen(seen):
            return False
        self.count += 1
        fired = self.count - self.fault.passed
        return fired > 0 and (self.fault.times is None or fired <= self.fault.times)


EventChange = Callable[[Manifest], Sequence[Manifest]]
"""Makes of an event of a watch the events that the client sees."""


def is_write(seen: Seen) -> bool:
    """Choose what changes the cluster, dry runs and reviews of rights apart."""
    is_review = "reviews" in seen.path
    return seen.method != "GET" and not is_review and "dryRun" not in seen.query


def has_path(part: str, method: str | None = None) -> Callable[[Seen], bool]:
    """Return a condition that chooses requests by a part of their path, and by their method."""
    return lambda seen: part in seen.path and method in {None, seen.method}


def writes_in(namespace: str) -> Callable[[Seen], bool]:
    """Return a condition that chooses the writes in one namespace."""
    return both(is_write, has_path(f"/namespaces/{namespace}/"))


def both(first: Callable[[Seen], bool], second: Callable[[Seen], bool]) -> Callable[[Seen], bool]:
    """Return a condition that holds where two do."""
    return lambda seen: first(seen) and second(seen)


def drop(_: Manifest) -> Sequence[Manifest]:
    """Keep an event from the client."""
    return ()


def repeat(event: Manifest) -> Sequence[Manifest]:
    """Show an event twice."""
    return (event, event)


def drop_news(event: Manifest) -> Sequence[Manifest]:
    """Keep an event from the client, but for bookmarks: the watch goes on as if nothing happened."""
    return (event,) if event["type"] == "BOOKMARK" else ()


class Replay:
    """After each event of an object, shows once more how that object was when it was first seen.

    What was deleted comes back in this way, as in a watch that was served from an old cache.
    """

    def __init__(self) -> None:
        self._first: dict[str, Manifest] = {}

    def __call__(self, event: Manifest) -> Sequence[Manifest]:
        """Return the event, and after it an old one."""
        uid = event["object"].get("metadata", {}).get("uid")
        if uid is None:
            return (event,)
        old = self._first.setdefault(uid, copy.deepcopy(event["object"]))
        return (event, {"type": "MODIFIED", "object": old})


def fail_once(code: int) -> EventChange:
    """Return a change that makes an ERROR of the next event, and lets all others pass."""
    left = [code]

    def fail(event: Manifest) -> Sequence[Manifest]:
        if not left:
            return (event,)
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": left.pop()}
        return ({"type": "ERROR", "object": {**status, "message": "told by the proxy"}},)

    return fail
