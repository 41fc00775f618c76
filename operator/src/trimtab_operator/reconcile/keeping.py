"""Children that must be there: which to make, to mend, to clear. Pure lists of actions.

Called by `phases`. What belongs to somebody else is never touched: it comes back as a conflict.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trimtab_api.events import EventReason
from trimtab_api.labels import ANNOTATION_IMAGE, KEY_CONTROL, KEY_JOB
from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.reconcile.actions import Action, Apply, Delete, Kind, PostEvent
from trimtab_operator.reconcile.attempts import AttemptRecord, render_record
from trimtab_operator.reconcile.drift import is_covered
from trimtab_operator.reconcile.failures import is_over
from trimtab_operator.reconcile.observed import ObjectMeta, ObjectView, RayJobView
from trimtab_operator.reconcile.situation import Situation, parse_config
from trimtab_operator.reconcile.verdict import Problem
from trimtab_operator.resources.children import build_attempt, build_control, build_shared
from trimtab_operator.resources.configmaps import (
    ANNOTATION_RECORD,
    build_spec_config,
    render_job,
)
from trimtab_operator.resources.names import attempt_name, parse_attempt, report_name
from trimtab_operator.resources.rayjob import FIXED_FIELDS, read_account, restore_rayjob

__all__ = [
    "apply_record",
    "clear_older",
    "clear_targets",
    "delete",
    "find_conflict",
    "find_target_conflict",
    "keep_attempt",
    "keep_shared",
    "make_attempt",
]

Manifest = Mapping[str, Any]


def keep_shared(situation: Situation, spec: Spec, *, stop: bool) -> Iterator[Action]:
    """Yield what brings the children that all attempts share to what they should be.

    Args:
        situation: The job.
        spec: Expanded.
        stop: Whether the driver is to end.
    """
    control = build_control(situation.inputs_for(situation.latest.number, spec), stop=stop)
    account = _account_in_use(situation, spec)
    for manifest in build_shared(situation.identity, account, control):
        kind, name = _identify(manifest)
        if (kind, name) in situation.observed.objects and not situation.find_own(kind, name):
            continue
        found = situation.find_own(kind, name)
        if found is not None and is_covered(manifest, found.manifest):
            continue
        yield Apply(manifest)
        if situation.latest.known and not _only_control_differs(manifest, found):
            yield PostEvent(EventReason.CHILD_RESTORED, f"{kind} {name} is as it should be again")


def keep_attempt(situation: Situation) -> Iterator[Action]:
    """Yield what brings the two objects of a running attempt to what they should be."""
    yield from _keep_config(situation)
    latest = situation.latest
    rayjob, job = latest.rayjob, parse_config(latest.config)
    if rayjob is None or job is None or _is_as_made(situation, rayjob):
        return
    # As it was made: what was edited since is for the next attempt.
    inputs = situation.inputs_for(latest.number, job.spec)
    record = rayjob.meta.annotations.get(ANNOTATION_RECORD) or render_record(latest.record)
    yield Apply(restore_rayjob(inputs, record, rayjob.meta.labels, rayjob.spec))
    name = rayjob.meta.name
    yield PostEvent(EventReason.CHILD_RESTORED, f"RayJob {name} is as it was made again")


def _keep_config(situation: Situation) -> Iterator[Action]:
    latest = situation.latest
    wanted = apply_record(situation, latest.record)
    metadata = wanted.manifest["metadata"]
    found = latest.config
    if found is not None and is_covered(metadata, found.manifest["metadata"]):
        return
    yield wanted
    if latest.known:
        name = metadata["name"]
        yield PostEvent(EventReason.CHILD_RESTORED, f"ConfigMap {name} is as it should be again")


def _is_as_made(situation: Situation, rayjob: RayJobView) -> bool:
    """Return whether a RayJob has an owner and all that decides how it is run."""
    labels = situation.identity.child_labels(rayjob.attempt)
    return (
        rayjob.meta.owner is not None
        and is_covered(labels, rayjob.meta.labels)
        and is_covered(FIXED_FIELDS, rayjob.spec)
    )


def make_attempt(
    situation: Situation, spec: Spec, number: int, record: AttemptRecord
) -> Iterator[Action]:
    """Yield what starts an attempt: the shared children first, then its own two."""
    for manifest in _shared(situation, spec, number):
        found = situation.find_own(*_identify(manifest))
        if found is None or not is_covered(manifest, found.manifest):
            yield Apply(manifest)
    inputs = situation.inputs_for(number, spec)
    document = situation.observed.job.document
    for manifest in build_attempt(inputs, document, render_record(record)):
        yield Apply(manifest)
    name = attempt_name(situation.identity.name, number)
    yield PostEvent(EventReason.CLUSTER_CREATED, f"RayJob {name} was created")


def apply_record(situation: Situation, record: AttemptRecord) -> Apply:
    """Return what writes the record of the latest attempt."""
    latest = situation.latest
    data: Mapping[str, str] = latest.config.manifest.get("data", {}) if latest.config else {}
    return Apply(
        build_spec_config(
            situation.identity,
            latest.number,
            job_text=data.get(KEY_JOB) or render_job(situation.observed.job.document),
            record=render_record(record),
            image=_image_in_use(situation),
        )
    )


def clear_older(situation: Situation) -> Iterator[Action]:
    """Yield the deletions of what attempts before the latest left."""
    number, job = situation.latest.number, situation.identity.name
    for rayjob in situation.observed.rayjobs:
        if rayjob.attempt < number and situation.owns(rayjob.meta):
            yield from delete(Kind.RAY_JOB, rayjob.meta)
    for (kind, name), view in situation.observed.objects.items():
        attempt = parse_attempt(job, name) if kind == Kind.CONFIG_MAP else None
        if attempt is not None and attempt < number and situation.owns(view.meta):
            yield from delete(Kind.CONFIG_MAP, view.meta)
    yield from clear_targets(situation, before=number)


def clear_targets(situation: Situation, *, before: int) -> Iterator[Action]:
    """Yield the deletions of Jobs that measure targets for attempts before a number."""
    for job in situation.observed.target_jobs:
        if job.attempt < before and situation.owns(job.meta):
            yield from delete(Kind.TARGET_JOB, job.meta)


def delete(kind: Kind, meta: ObjectMeta) -> Iterator[Delete]:
    """Yield the deletion of a child, unless it is under way."""
    if not meta.deleting:
        yield Delete(
            kind=kind, name=meta.name, uid=meta.uid, resource_version=meta.resource_version
        )


def find_conflict(situation: Situation, spec: Spec, attempt: int) -> Problem | None:
    """Return whose objects have the names that an attempt needs; None where all are free."""
    job = situation.identity.name
    wanted = [_identify(manifest) for manifest in _shared(situation, spec, attempt)]
    own_name = attempt_name(job, attempt)
    names = [*wanted, (Kind.RAY_JOB, own_name), (Kind.CONFIG_MAP, own_name)]
    return _name_conflict(situation, names)


def find_target_conflict(situation: Situation, jobs: Iterable[Manifest]) -> Problem | None:
    """Return whose objects have the names of the Jobs of targets; None where all are free."""
    return _name_conflict(situation, [_identify(manifest) for manifest in jobs])


def _name_conflict(situation: Situation, names: Iterable[tuple[Kind, str]]) -> Problem | None:
    for key in names:
        found = situation.observed.objects.get(key)
        if found is None or situation.owns(found.meta):
            continue
        owner = found.meta.owner
        whose = f"belongs to {owner.kind} {owner.name}" if owner else "is not of this job"
        kind, name = key
        return Problem(DegradedReason.NAME_CONFLICT, f"{kind} {name} exists and {whose}")
    return None


def _account_in_use(situation: Situation, spec: Spec) -> str | None:
    """Return the account that a driver has: an edit of it must not take its rights away."""
    rayjob = situation.latest.rayjob
    if rayjob is None or is_over(rayjob):
        return spec.cluster.service_account_name
    account = read_account(rayjob.spec)
    return None if account == report_name(situation.identity.name) else account


def _image_in_use(situation: Situation) -> str:
    """Return the image of the latest attempt; that of the manifest where its own is not known."""
    latest, spec = situation.latest, situation.spec
    annotations = latest.config.meta.annotations if latest.config else {}
    current = situation.inputs_for(latest.number, spec).image if spec else ""
    return annotations.get(ANNOTATION_IMAGE, current)


def _shared(situation: Situation, spec: Spec, attempt: int) -> tuple[Manifest, ...]:
    control = build_control(situation.inputs_for(attempt, spec))
    return build_shared(situation.identity, spec.cluster.service_account_name, control)


def _identify(manifest: Manifest) -> tuple[Kind, str]:
    return Kind(manifest["kind"]), manifest["metadata"]["name"]


def _only_control_differs(wanted: Manifest, found: ObjectView | None) -> bool:
    """Return whether all that is new is what the driver is told, which edits of the job change."""
    if found is None or KEY_CONTROL not in (found.manifest.get("data") or {}):
        return False
    rest = {key: value for key, value in wanted.items() if key != "data"}
    return is_covered(rest, found.manifest)
