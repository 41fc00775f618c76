"""What the API server says that was asked of it: its audit log, with its own clock.

Tests of rights and the benchmark of operators read it. Nothing stands between client and server, and
every client is seen by the same means.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

__all__ = ["Activity", "Call", "audit_flags", "audit_log", "list_calls_of", "read_calls"]

_JOBS = "optimizationjobs"
_ACCOUNT = "system:serviceaccount:"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_MILLISECONDS = 1000
_OK = 200
_FIRST_ERROR = 400

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The controllers of Kubernetes itself.
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {
            "level": "Metadata",
            "verbs": ["create"],
            "resources": [{"group": "trimtab.dev", "resources": [_JOBS]}],
        },
        {"level": "None"},
    ],
}


def audit_flags(folder: Path) -> tuple[str, str]:
    """Return flags of an API server that keeps a log of service accounts and of new jobs.

    Args:
        folder: Gets the policy and the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    policy, log = folder / "audit-policy.json", audit_log(folder)
    policy.write_text(json.dumps(_POLICY), encoding="utf-8")
    log.touch()
    return f"--audit-policy-file={policy}", f"--audit-log-path={log}"


def audit_log(folder: Path) -> Path:
    """Return the log of a server that was given the flags for this folder."""
    return folder / "audit.log"


def list_calls_of(user: str, folder: Path, start: int = 0) -> "list[Call]":
    """Return what a user asked for, of a server that was given the flags for this folder.

    Args:
        user: As the server names it.
        folder: Of the log.
        start: Length of the log when it began to count.
    """
    with audit_log(folder).open(encoding="utf-8") as log:
        log.seek(start)
        # The last line may be in the making.
        lines = [line for line in log if line.endswith("\n")]
    return [call for call in read_calls(lines) if call.user == user]


@dataclass(frozen=True, slots=True)
class Call:
    """One answered request."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    name: str
    code: int
    ended: float
    """When the answer was complete, in seconds since the epoch; of a watch, when it began."""

    @property
    def is_of_account(self) -> bool:
        """Return whether a service account asked."""
        return self.user.startswith(_ACCOUNT)

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
    events = [json.loads(line) for line in lines]
    return [_read_call(event) for event in events if not _ends_watch(event)]


def _ends_watch(event: Mapping[str, object]) -> bool:
    """Return whether an event tells of the end of a watch, whose beginning was told before."""
    is_end = event["verb"] == "watch" and event["stage"] == "ResponseComplete"
    return is_end and _part(event, "responseStatus").get("code") == _OK


def _read_call(event: Mapping[str, object]) -> Call:
    about, user, status = (_part(event, key) for key in ("objectRef", "user", "responseStatus"))
    return Call(
        user=str(user.get("username", "")),
        verb=str(event["verb"]),
        group=str(about.get("apiGroup", "")),
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
        return [call for call in self.calls if call.is_of_account and call.is_write]

    @property
    def reads(self) -> list[Call]:
        """Return what the operator read; watches count when they begin."""
        return [call for call in self.calls if call.is_of_account and not call.is_write]

    def list_latencies(self, jobs: Iterable[str]) -> list[float]:
        """Return the ms from each job's creation to its first child's, where it has one.

        Args:
            jobs: Names without a hyphen; those of children are the job's, a hyphen and more.
        """
        made = {call.name: call.ended for call in self.calls if _makes_job(call)}
        first: dict[str, float] = {}
        for call in self.calls:
            if call.is_of_account and call.is_write and call.is_done and call.resource != _JOBS:
                first.setdefault(call.name.partition("-")[0], call.ended)
        return [_MILLISECONDS * (first[job] - made[job]) for job in jobs if job in first]

    def list_with_status(self) -> set[str]:
        """Return the names of the jobs whose status was written."""
        return {
            call.name
            for call in self.writes
            if (call.resource, call.subresource) == (_JOBS, "status") and call.is_done
        }


def _makes_job(call: Call) -> bool:
    return (
        not call.is_of_account and call.resource == _JOBS and call.verb == "create" and call.is_done
    )
