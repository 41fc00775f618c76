"""What can go wrong with a request to the API server, as types that say how to go on.

`client` raises them; `apply` and the reconciler turn those that a person must see into conditions,
and the work queue turns the rest into a later try.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

__all__ = [
    "ClusterError",
    "Conflict",
    "ConflictError",
    "ForbiddenError",
    "InvalidObjectError",
    "NotFoundError",
    "Request",
    "UnavailableError",
    "make_error",
]

_NOT_FOUND = 404
_FORBIDDEN = 403
_CONFLICT = 409
_GONE = 410
_REFUSED = frozenset({400, 405, 413, 415, 422})
# Server-side apply of what does not fit a schema: the server calls that a fault of its own.
_UNFIT = "failed to create typed patch object"
_LONGEST_MESSAGE = 512
# conflict with "kueue" using kueue.x-k8s.io/v1 at 2026-01-01T00:00:00Z
_CONFLICTING_MANAGER = re.compile(r'conflict with "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, as people name it."""

    verb: str
    resource: str
    namespace: str | None = None
    name: str | None = None

    @override
    def __str__(self) -> str:
        """Return `patch rayjobs.ray.io team/digits-a1`."""
        place = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.verb} {self.resource} {place}".rstrip()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field of an object that somebody else applied."""

    manager: str
    field: str


class ClusterError(Exception):
    """The API server did not do what was asked.

    Attributes:
        request: What was asked.
        retry_after: Seconds that the server wants to be left alone; 0 where it did not say.
    """

    def __init__(self, request: Request, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(f"{request}: {message}")
        self.request = request
        self.message = message
        self.retry_after = retry_after


class NotFoundError(ClusterError):
    """There is no such object, or no such kind."""


class ForbiddenError(ClusterError):
    """The operator lacks the right."""


class ConflictError(ClusterError):
    """The object is not as the request presumes, or somebody else owns fields of it."""

    def __init__(
        self, request: Request, message: str, *, fields: tuple[Conflict, ...] = ()
    ) -> None:
        super().__init__(request, message)
        self.fields = fields


class InvalidObjectError(ClusterError):
    """The server refuses what was sent, and will refuse it again."""


class UnavailableError(ClusterError):
    """The server is away, too busy, or too slow: the same request may work later."""


def make_error(
    status: int, body: Mapping[str, Any], request: Request, retry_after: float
) -> ClusterError:
    """Return the error for a refused request.

    Args:
        status: HTTP status, 400 or more.
        body: The server's `Status` object; {} where it sent none.
        request: What was asked.
        retry_after: From the header of that name, in seconds; 0 without.
    """
    message = str(body.get("message") or f"HTTP {status}")[:_LONGEST_MESSAGE]
    if status == _NOT_FOUND:
        return NotFoundError(request, message)
    causes = (body.get("details") or {}).get("causes") or ()
    if status == _FORBIDDEN and any(
        cause.get("reason") == "NamespaceTerminating" for cause in causes
    ):
        return ConflictError(request, message)
    if status == _FORBIDDEN:
        return ForbiddenError(request, message)
    if status in {_CONFLICT, _GONE}:
        return ConflictError(request, message, fields=_conflicts(causes))
    if status in _REFUSED or _UNFIT in message:
        return InvalidObjectError(request, message)
    return UnavailableError(request, message, retry_after=retry_after)


def _conflicts(causes: Sequence[Mapping[str, Any]]) -> tuple[Conflict, ...]:
    """Read who owns which field, from the causes of a refused apply."""
    found = []
    for cause in causes:
        match = _CONFLICTING_MANAGER.search(str(cause.get("message", "")))
        if cause.get("reason") == "FieldManagerConflict" and match:
            found.append(Conflict(match[1], str(cause.get("field", ""))))
    return tuple(found)
