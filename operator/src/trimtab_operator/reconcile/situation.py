"""What a decision about a job starts from: its latest attempt, its spec, whether it can run.

Put together once per pass from what was observed; guards, endings and phases read it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trimtab_api.labels import ANNOTATION_RETRY, KEY_JOB, LABEL_JOB_UID, QUEUE_LABEL
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.reconcile.acceptance import judge_manifest
from trimtab_operator.reconcile.actions import Kind
from trimtab_operator.reconcile.attempts import (
    AttemptEnd,
    AttemptRecord,
    parse_record,
)
from trimtab_operator.reconcile.manifests import ParsedManifest, parse_manifest
from trimtab_operator.reconcile.observed import (
    ObjectMeta,
    ObjectView,
    Observed,
    PodRole,
    PodView,
    RayJobView,
)
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.verdict import Acceptance
from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.configmaps import ANNOTATION_RECORD
from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.names import parse_attempt
from trimtab_operator.resources.places import storage_uri

__all__ = ["LatestAttempt", "Situation", "assess", "parse_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestAttempt:
    """The attempt with the highest number that left a trace."""

    number: int
    """0 before the first."""
    rayjob: RayJobView | None
    config: ObjectView | None
    """Its spec ConfigMap."""
    record: AttemptRecord
    known: bool
    """Whether a status told of it before."""

    @property
    def started(self) -> datetime | None:
        """Return when it was made; None where nothing of it is left."""
        made = self.rayjob or self.config
        return made.meta.created if made else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One job at one moment."""

    observed: Observed
    settings: PlanSettings
    acceptance: Acceptance
    latest: LatestAttempt
    spec: Spec | None
    """Expanded, but for what a target's node decides: of the job, or of its latest attempt where
    the job is invalid now."""

    @property
    def identity(self) -> JobIdentity:
        """Return who the children belong to."""
        job = self.observed.job
        return JobIdentity(
            name=job.meta.name, namespace=job.namespace, uid=job.meta.uid, labels=job.meta.labels
        )

    @property
    def is_queued_job(self) -> bool:
        """Return whether a queue decides when its RayJobs start."""
        return QUEUE_LABEL in self.observed.job.meta.labels

    @property
    def retry(self) -> str:
        """Return the value of the annotation that asks for one more try."""
        return self.observed.job.meta.annotations.get(ANNOTATION_RETRY, "")

    @property
    def fingerprint(self) -> str:
        """Return that of the fields which only a new attempt can take over."""
        return self.observed.job.manifest.fingerprint or self.latest.record.fingerprint

    def seconds_since(self, moment: datetime) -> float:
        """Return how long ago a moment was; never less than 0."""
        return max(0.0, (self.observed.now - moment).total_seconds())

    def owns(self, meta: ObjectMeta) -> bool:
        """Return whether an object is a child of the job."""
        return _is_child(meta, self.observed.job.meta.uid)

    def find_own(self, kind: Kind, name: str) -> ObjectView | None:
        """Return a child by kind and name; None where there is none, or somebody else's."""
        found = self.observed.objects.get((kind, name))
        return found if found is not None and self.owns(found.meta) else None

    def live_pods(self, role: PodRole | None = None) -> tuple[PodView, ...]:
        """Return the pods of Ray clusters that hold machines."""
        return tuple(
            pod
            for pod in self.observed.pods
            if not pod.ended and pod.role is not PodRole.TARGET and role in {None, pod.role}
        )

    def inputs_for(self, attempt: int, spec: Spec) -> AttemptInputs:
        """Return what the manifests of an attempt are made from."""
        children = self.settings.children
        return AttemptInputs(
            identity=self.identity,
            spec=spec,
            attempt=attempt,
            storage=storage_uri(spec, children.storage_uri) or "",
            settings=children,
        )

    def with_end(self, end: AttemptEnd) -> "Situation":
        """Return the situation once the latest attempt is over."""
        # A retry that was asked for before the end is done with.
        record = self.latest.record.model_copy(update={"end": end, "retry": self.retry})
        return replace(self, latest=replace(self.latest, record=record))


def assess(observed: Observed, settings: PlanSettings) -> Situation:
    """Return the situation of a job."""
    latest = _find_latest(observed)
    manifest = observed.job.manifest
    if manifest.job is None:
        manifest = _parse_config(latest.config) or manifest
    return Situation(
        observed=observed,
        settings=settings,
        acceptance=judge_manifest(observed, settings.children.storage_uri),
        latest=latest,
        spec=manifest.expanded,
    )


def _find_latest(observed: Observed) -> LatestAttempt:
    uid, job = observed.job.meta.uid, observed.job.meta.name
    rayjobs = {
        view.attempt: view
        for view in observed.rayjobs
        if view.attempt and _is_child(view.meta, uid)
    }
    configs = {
        attempt: view
        for (kind, name), view in observed.objects.items()
        if kind == Kind.CONFIG_MAP
        and _is_child(view.meta, uid)
        and (attempt := parse_attempt(job, name)) is not None
    }
    told = (observed.job.previous.attempt or 0) if observed.job.previous else 0
    number = max((*rayjobs, *configs, told), default=0)
    return LatestAttempt(
        number=number,
        rayjob=rayjobs.get(number),
        config=configs.get(number),
        record=_read_record(configs, rayjobs.get(number), number, observed.job.previous),
        known=told == number,
    )


def _is_child(meta: ObjectMeta, uid: str) -> bool:
    """Return whether a job controls an object, or did until somebody took the reference away."""
    if meta.owner is None:
        return meta.labels.get(LABEL_JOB_UID) == uid
    return meta.owner.uid == uid


def _read_record(
    configs: dict[int, ObjectView],
    rayjob: RayJobView | None,
    number: int,
    previous: Status | None,
) -> AttemptRecord:
    """Without its ConfigMap an attempt is as it was made, or goes on from what was before it."""
    if number in configs:
        return parse_record(configs[number].meta.annotations.get(ANNOTATION_RECORD))
    if rayjob is not None and ANNOTATION_RECORD in rayjob.meta.annotations:
        return parse_record(rayjob.meta.annotations[ANNOTATION_RECORD])
    if number - 1 in configs:
        before = parse_record(configs[number - 1].meta.annotations.get(ANNOTATION_RECORD))
        return AttemptRecord(
            failures=before.failures_after,
            active_seconds=before.active_seconds,
            retry=before.retry,
        )
    if previous is None:
        return AttemptRecord()
    # What is counted over the whole job outlives all its children.
    return AttemptRecord(
        failures=max(0, previous.failed_attempts or 0),
        active_seconds=max(0.0, previous.active_seconds or 0.0),
    )


def parse_config(config: ObjectView | None) -> OptimizationJob | None:
    """Return the job as it was when an attempt started."""
    parsed = _parse_config(config)
    return parsed.job if parsed else None


def _parse_config(config: ObjectView | None) -> ParsedManifest | None:
    if config is None:
        return None
    data: Any = config.manifest.get("data") or {}
    try:
        return parse_manifest(data[KEY_JOB])
    except (KeyError, TypeError, ValueError):
        return None
