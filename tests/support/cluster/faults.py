"""Faults between a client and the API server, as values; `chaosproxy` acts them out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cluster.api import Manifest

__all__ = [
    "Answer",
    "EventChange",
    "Fault",
    "Loss",
    "Seen",
    "drop",
    "has_path",
    "is_write",
    "repeat",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that the proxy saw."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)

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
    """What the client is told in place of the server's answer."""

    code: int
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


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


EventChange = Callable[[Manifest], Sequence[Manifest]]
"""Makes of an event of a watch the events that the client sees."""


def is_write(seen: Seen) -> bool:
    """Choose what changes the cluster, dry runs and reviews of rights apart."""
    is_review = "reviews" in seen.path
    return seen.method != "GET" and not is_review and "dryRun" not in seen.query


def has_path(part: str, method: str | None = None) -> Callable[[Seen], bool]:
    """Return a condition that chooses requests by a part of their path, and by their method."""
    return lambda seen: part in seen.path and method in {None, seen.method}


def drop(_: Manifest) -> Sequence[Manifest]:
    """Keep an event from the client."""
    return ()


def repeat(event: Manifest) -> Sequence[Manifest]:
    """Show an event twice."""
    return (event, event)
