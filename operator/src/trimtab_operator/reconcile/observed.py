"""What is known of one job and of everything that was made for it, at one moment.

`cluster.observe` fills it with the help of `views`; the planner and the status read it and
nothing else. All of it is frozen, so a decision can be repeated from what it was given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from trimtab_api.progress import ProgressReport, StageEntry, TargetReport
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.reconcile.manifests import ParsedManifest

__all__ = [
    "ClusterCondition",
    "JobView",
    "ObjectMeta",
    "ObjectView",
    "Observed",
    "Owner",
    "PodRole",
    "PodView",
    "RayJobView",
    "ReportView",
    "TargetJobView",
    "WaitingContainer",
    "silence_key",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controller of an object, from its owner references."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """What the planner needs of an object's metadata."""

    kind: str
    name: str
    uid: str
    resource_version: str
    created: datetime
    deleting: bool = False
    owner: Owner | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """The OptimizationJob itself."""

    meta: ObjectMeta
    namespace: str
    generation: int
    document: Mapping[str, Any]
    """apiVersion, kind, metadata{name, namespace, uid} and spec as the API server has them."""
    managed_by: str
    """spec.managedBy, with its default."""
    manifest: ParsedManifest
    """The same document, parsed."""
    previous: Status | None = None
    """The status that was written last; None before the first."""

    @property
    def job(self) -> OptimizationJob | None:
        """Return the job; None where it breaks a rule that the API server cannot check."""
        return self.manifest.job


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectView:
    """A child that is only compared with what it should be: ConfigMaps, access, NetworkPolicy."""

    meta: ObjectMeta
    manifest: Mapping[str, Any]
    """The whole object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCondition:
    """One condition of the RayCluster, as the RayJob repeats it."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RayJobView:
    """The RayJob of one attempt. The words of KubeRay are kept raw; `failures` reads them."""

    meta: ObjectMeta
    attempt: int
    spec: Mapping[str, Any]
    deployment_status: str = ""
    """status.jobDeploymentStatus; empty before KubeRay has seen the object."""
    job_status: str = ""
    """status.jobStatus."""
    reason: str = ""
    """status.reason."""
    message: str = ""
    """status.message, which can hold thousands of lines of the user's logs."""
    job_started: datetime | None = None
    """status.rayJobInfo.startTime: when the driver started."""
    cluster: str | None = None
    """status.rayClusterName."""
    suspended: bool = False
    """spec.suspend, which a queue controller owns."""
    workers_desired: int | None = None
    conditions: tuple[ClusterCondition, ...] = ()
    """Of the RayCluster."""


class PodRole(StrEnum):
    """What a pod of a job does."""

    HEAD = "head"
    WORKER = "worker"
    SUBMITTER = "submitter"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingContainer:
    """Why a container of a pod does not run."""

    container: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of an attempt or of a target."""

    meta: ObjectMeta
    role: PodRole
    attempt: int
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    ready: bool = False
    restarts: int = 0
    """Of all its containers."""
    node: str | None = None
    placed: datetime | None = None
    """When it got its node."""
    unschedulable: str | None = None
    """The scheduler's words where it finds no node."""
    waiting: WaitingContainer | None = None
    """The first container that cannot start."""

    @property
    def ended(self) -> bool:
        """Return whether the pod holds no machine any more."""
        return self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetJobView:
    """The batch/v1 Job that measures one target."""

    meta: ObjectMeta
    target: str
    attempt: int
    succeeded: bool = False
    failed: bool = False
    reason: str = ""
    """Why it failed, such as DeadlineExceeded."""
    message: str = ""

    @property
    def ended(self) -> bool:
        """Return whether it will not measure any more."""
        return self.succeeded or self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """What the driver and the targets' Jobs told, as far as it is accepted.

    `cluster.reports` parses it and drops what is of another job, of an older attempt or was seen
    before. After something that cannot be read, `progress` stays the last good report.
    """

    progress: ProgressReport | None = None
    targets: Mapping[str, TargetReport] = field(default_factory=dict)
    """By name; the attempt inside tells which run it belongs to."""
    stages: tuple[StageEntry, ...] = ()
    invalid: str | None = None
    """What is wrong with a report that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that a decision about one job may look at."""

    now: datetime
    """The time of the API server, in UTC: it is compared with the stamps that it gives."""
    job: JobView
    rayjobs: tuple[RayJobView, ...] = ()
    pods: tuple[PodView, ...] = ()
    """Pods with the job's UID label: of all attempts, and of target Jobs."""
    target_jobs: tuple[TargetJobView, ...] = ()
    objects: Mapping[tuple[str, str], ObjectView] = field(default_factory=dict)
    """The other children by kind and name. Objects of the job's child names that belong to
    somebody else are in it too, RayJobs and target Jobs included."""
    claims: frozenset[str] = frozenset()
    """The claims of the namespace that exist, among those that the job names."""
    kuberay_problem: str | None = None
    """Why no RayJob can be made or read: not installed, or too old; None where it can."""
    report: ReportView = field(default_factory=ReportView)
    silent_seconds: float = 0.0
    """How long this process has seen `silence_key` not change, by a monotonic clock."""

    def count_ready(self, role: PodRole, attempt: int) -> int:
        """Return how many pods of an attempt are ready; a RayJob tells it late, or never."""
        return sum(
            pod.attempt == attempt and pod.role is role and pod.ready and not pod.meta.deleting
            for pod in self.pods
        )


def silence_key(rayjobs: tuple[RayJobView, ...], report: ReportView) -> tuple[str, ...]:
    """Return what must change now and then while a driver is alive."""
    latest = max(rayjobs, key=lambda rayjob: rayjob.attempt, default=None)
    running = () if latest is None else (latest.meta.uid, latest.job_status)
    progress = report.progress
    told = () if progress is None else (str(progress.attempt), str(progress.sequence))
    return (*running, *told)
