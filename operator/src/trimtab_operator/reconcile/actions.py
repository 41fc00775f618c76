"""What can be done about a job: a closed union of four actions.

Planned by `plan`, carried out one after the other by `cluster.apply`, which stops at the first
that fails; a later pass goes on from what is there then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trimtab_api.events import EventReason

__all__ = ["Action", "Apply", "Delete", "DeleteJob", "Kind", "PostEvent"]


class Kind(StrEnum):
    """Kinds that the operator makes or deletes."""

    CONFIG_MAP = "ConfigMap"
    SERVICE_ACCOUNT = "ServiceAccount"
    ROLE = "Role"
    ROLE_BINDING = "RoleBinding"
    NETWORK_POLICY = "NetworkPolicy"
    RAY_JOB = "RayJob"
    TARGET_JOB = "Job"


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply a manifest server-side as trimtab_api.labels.FIELD_MANAGER, never by force."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete a child in the background, if it is still the object and the version that was seen."""

    kind: Kind
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class PostEvent:
    """Post an event on the job; the type is the reason's."""

    reason: EventReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJob:
    """Delete the job itself, whose time to live is over, if it is as it was seen."""

    name: str
    uid: str
    resource_version: str


Action = Apply | Delete | PostEvent | DeleteJob
