"""What the API server says that an operator did: read from its audit log, with its own clock.

Used by the benchmark of operators. Nothing stands between operator and server, and every way is
counted by the same means. `POLICY` keeps the log to the operators and to the creation of jobs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

__all__ = ["JOBS", "POLICY", "Activity", "Call", "read_calls"]

JOBS = "optimizationjobs"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_MILLISECONDS = 1000
_FIRST_ERROR = 400

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {
            "level": "Metadata",
            "verbs": ["create"],
            "resources": [{"group": "trimtab.dev", "resources": [JOBS]}],
        },
        {"level": "None"},
    ],
}
"""For `--audit-policy-file`; service accounts have no other users here than the operators."""


@dataclass(frozen=True, slots=True)
class Call:
    """One answered request."""

    account: bool
    """Whether a service account asked: the operator."""
    verb: str
    resource: str
    subresource: str
    name: str
    code: int
    ended: float
    """When the answer was complete, in seconds since the epoch."""

    @property
    def is_write(self) -> bool:
        """Return whether it asked for a change."""
        return self.verb in _WRITES

    @property
    def is_done(self) -> bool:
        """Return whether the server did what was asked."""
        return self.code < _FIRST_ERROR


def read_calls(lines: Iterable[str]) -> list[Call]:
    """Return the calls that the lines of an audit log hold, in the order of their answers."""
    return [_read_call(json.loads(line)) for line in lines]


def _read_call(event: Mapping[str, object]) -> Call:
    about, user, status = (_part(event, key) for key in ("objectRef", "user", "responseStatus"))
    return Call(
        account=str(user.get("username", "")).startswith("system:serviceaccount:"),
        verb=str(event["verb"]),
        resource=str(about.get("resource", "")),
        subresource=str(about.get("subresource", "")),
        name=str(about.get("name", "")),
        code=int(str(status.get("code", 0))),
        ended=datetime.fromisoformat(str(event["stageTimestamp"])).timestamp(),
    )


def _part(event: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = event.get(key)
    return part if isinstance(part, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened on a server: jobs were made, and an operator did something about them."""

    calls: Sequence[Call]

    @property
    def writes(self) -> list[Call]:
        """Return what the operator changed, or tried to."""
        return [call for call in self.calls if call.account and call.is_write]

    @property
    def reads(self) -> list[Call]:
        """Return what the operator read; watches count when they end."""
        return [call for call in self.calls if call.account and not call.is_write]

    def list_latencies(self, jobs: Iterable[str]) -> list[float]:
        """Return the ms from each job's creation to its first child's, where it has one.

        Args:
            jobs: Names without a hyphen; those of children are the job's, a hyphen and more.
        """
        made = {call.name: call.ended for call in self.calls if _makes_job(call)}
        first: dict[str, float] = {}
        for call in self.calls:
            if call.account and call.is_write and call.is_done and call.resource != JOBS:
                first.setdefault(call.name.partition("-")[0], call.ended)
        return [_MILLISECONDS * (first[job] - made[job]) for job in jobs if job in first]

    def list_with_status(self) -> set[str]:
        """Return the names of the jobs whose status was written."""
        return {
            call.name
            for call in self.writes
            if (call.resource, call.subresource) == (JOBS, "status") and call.is_done
        }


def _makes_job(call: Call) -> bool:
    return not call.account and call.resource == JOBS and call.verb == "create" and call.is_done
