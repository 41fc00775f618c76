"""Rights as single verbs: those that roles give, and those that an audit log shows in use."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from cluster.api import Manifest
from cluster.audit_log import Call

__all__ = ["Right", "list_rights", "list_used"]

_CREATED = 201


class Right(NamedTuple):
    """One verb on one resource; a subresource stands behind a stroke."""

    group: str
    resource: str
    verb: str


def list_rights(manifests: Iterable[Manifest]) -> set[Right]:
    """Return what the roles among these manifests allow, wherever they count."""
    rules: list[dict[str, Any]] = [rule for one in manifests for rule in one.get("rules", ())]
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def list_used(calls: Iterable[Call]) -> set[Right]:
    """Return the rights without which these calls would have been refused."""
    used = set()
    for call in calls:
        resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        used.add(Right(call.group, resource, call.verb))
        # A patch that makes its object asks for this right too.
        if call.verb == "patch" and call.code == _CREATED:
            used.add(Right(call.group, resource, "create"))
    return used
