"""Raw objects of the API as views: what the planner looks at, and nothing else of them.

Called by `cluster.observe` with plain JSON. Objects of other programs are read tolerantly: a field
that is absent or of another type is taken as not there.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from trimtab_api.labels import LABEL_ATTEMPT, LABEL_TARGET, OPERATOR
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.reconcile.manifests import parse_manifest
from trimtab_operator.reconcile.observed import (
    ClusterCondition,
    JobView,
    ObjectMeta,
    ObjectView,
    Owner,
    PodRole,
    PodView,
    RayJobView,
    TargetJobView,
    WaitingContainer,
)
from trimtab_operator.resources.configmaps import render_job
from trimtab_operator.resources.names import read_attempt

__all__ = [
    "parse_time",
    "read_job",
    "read_meta",
    "read_object",
    "read_pod",
    "read_rayjob",
    "read_target_job",
]

Raw = Mapping[str, Any]

_NODE_TYPE = "ray.io/node-type"
_IDENTITY = ("name", "namespace", "uid")
# These are no errors: the container is on its way.
_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})


def read_job(raw: Raw) -> JobView:
    """Return the view of an OptimizationJob; a manifest that breaks rules is no error here."""
    meta = read_meta(raw, kind="OptimizationJob")
    metadata = _mapping(raw, "metadata")
    document = {
        "apiVersion": raw.get("apiVersion"),
        "kind": raw.get("kind"),
        "metadata": {key: metadata[key] for key in _IDENTITY if metadata.get(key)},
        "spec": raw.get("spec"),
    }
    # The text that an attempt starts with: it is parsed once for both.
    manifest = parse_manifest(render_job(document))
    return JobView(
        meta=meta,
        namespace=str(metadata.get("namespace", "")),
        generation=int(metadata.get("generation", 0)),
        document=document,
        managed_by=str(_mapping(raw, "spec").get("managedBy", OPERATOR)),
        manifest=manifest,
        previous=_read_status(raw),
    )


def read_meta(raw: Raw, kind: str | None = None) -> ObjectMeta:
    """Return the metadata of an object.

    Args:
        raw: The object.
        kind: Its kind where the object does not say it, as in lists.
    """
    metadata = _mapping(raw, "metadata")
    owners = [owner for owner in _list(metadata, "ownerReferences") if owner.get("controller")]
    return ObjectMeta(
        kind=kind or str(raw.get("kind", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        created=parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        deleting="deletionTimestamp" in metadata,
        owner=_read_owner(owners[0]) if owners else None,
        labels=_mapping(metadata, "labels"),
        annotations=_mapping(metadata, "annotations"),
    )


def read_object(raw: Raw, kind: str | None = None) -> ObjectView:
    """Return the view of a child that is only compared with what it should be."""
    return ObjectView(meta=read_meta(raw, kind), manifest=raw)


def read_rayjob(raw: Raw) -> RayJobView:
    """Return the view of a RayJob."""
    meta, spec, status = read_meta(raw, "RayJob"), _mapping(raw, "spec"), _mapping(raw, "status")
    cluster = _mapping(status, "rayClusterStatus")
    return RayJobView(
        meta=meta,
        # Labels can be edited, a name cannot.
        attempt=read_attempt(meta.name) or 0,
        spec=spec,
        deployment_status=_text(status, "jobDeploymentStatus"),
        job_status=_text(status, "jobStatus"),
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        job_started=parse_time(_mapping(status, "rayJobInfo").get("startTime")),
        cluster=_text(status, "rayClusterName") or None,
        suspended=spec.get("suspend") is True,
        workers_desired=_number(cluster.get("desiredWorkerReplicas")),
        conditions=tuple(
            ClusterCondition(
                type=_text(entry, "type"),
                status=_text(entry, "status"),
                reason=_text(entry, "reason"),
                message=_text(entry, "message"),
            )
            for entry in _list(cluster, "conditions")
        ),
    )


def read_pod(raw: Raw) -> PodView:
    """Return the view of a pod."""
    meta, status = read_meta(raw, "Pod"), _mapping(raw, "status")
    conditions = {_text(entry, "type"): entry for entry in _list(status, "conditions")}
    scheduled, ready = conditions.get("PodScheduled", {}), conditions.get("Ready", {})
    stuck = _text(scheduled, "reason") == "Unschedulable"
    return PodView(
        meta=meta,
        role=_role_of(meta),
        attempt=_number(meta.labels.get(LABEL_ATTEMPT)) or 0,
        phase=_text(status, "phase") or "Pending",
        ready=_text(ready, "status") == "True",
        restarts=sum(
            _number(entry.get("restartCount")) or 0 for entry in _list(status, "containerStatuses")
        ),
        node=_text(_mapping(raw, "spec"), "nodeName") or None,
        placed=_read_placed(scheduled),
        unschedulable=_text(scheduled, "message") if stuck else None,
        waiting=_read_waiting(status),
    )


def read_target_job(raw: Raw) -> TargetJobView:
    """Return the view of a Job that measures a target."""
    meta, status = read_meta(raw, "Job"), _mapping(raw, "status")
    ended = {
        _text(entry, "type"): entry
        for entry in _list(status, "conditions")
        if entry.get("status") == "True"
    }
    failure = ended.get("Failed", {})
    return TargetJobView(
        meta=meta,
        target=meta.labels.get(LABEL_TARGET, ""),
        attempt=_number(meta.labels.get(LABEL_ATTEMPT)) or 0,
        succeeded="Complete" in ended,
        failed="Failed" in ended,
        reason=_text(failure, "reason"),
        message=_text(failure, "message"),
    )


def parse_time(text: object) -> datetime | None:
    """Return a stamp of the API; None where it is none."""
    try:
        stamp = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _read_status(raw: Raw) -> Status | None:
    status = raw.get("status")
    if not isinstance(status, Mapping) or not status:
        return None
    try:
        # A newer operator may have written fields that this one does not know.
        return Status.model_validate(status, extra="ignore")
    except ValidationError:
        # Edited by hand: it is computed anew.
        return None


def _read_owner(reference: Raw) -> Owner:
    return Owner(
        kind=_text(reference, "kind"), name=_text(reference, "name"), uid=_text(reference, "uid")
    )


def _role_of(meta: ObjectMeta) -> PodRole:
    if LABEL_TARGET in meta.labels:
        return PodRole.TARGET
    kind = meta.labels.get(_NODE_TYPE)
    return PodRole(kind) if kind in {"head", "worker"} else PodRole.SUBMITTER


def _read_placed(scheduled: Raw) -> datetime | None:
    is_placed = _text(scheduled, "status") == "True"
    return parse_time(scheduled.get("lastTransitionTime")) if is_placed else None


def _read_waiting(status: Raw) -> WaitingContainer | None:
    for entry in (*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")):
        waiting = _mapping(_mapping(entry, "state"), "waiting")
        reason = _text(waiting, "reason")
        if reason and reason not in _ON_ITS_WAY:
            return WaitingContainer(
                container=_text(entry, "name"), reason=reason, message=_text(waiting, "message")
            )
    return None


def _mapping(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(raw: Raw, key: str) -> list[Raw]:
    value = raw.get(key)
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _text(raw: Raw, key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None
