"""Where and how a job runs: machines, storage, who is in charge, what follows from a failure.

A local run obeys the device and the failure policy; the rest is read by the operator.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from trimtab_api.v1alpha1._base import ApiModel, Mutability, Rule
from trimtab_api.v1alpha1._types import Uri
from trimtab_api.v1alpha1.pods import (
    EnvVar,
    Image,
    NodeSelector,
    ObjectName,
    Resources,
    SecretRef,
    Template,
    Tolerations,
)
from trimtab_api.v1alpha1.status import FailureClass

__all__ = [
    "RAY_VERSION",
    "Cluster",
    "Device",
    "FailureAction",
    "FailurePolicy",
    "FailureRule",
    "Group",
    "ManagedBy",
    "Storage",
    "WorkerGroup",
]

RAY_VERSION = r"^(2[.](5[3-9]|[6-9][0-9]|[1-9][0-9]{2,})|([3-9]|[1-9][0-9]+)[.][0-9]+)[.][0-9]+$"
"""Versions from 2.53 on, whose token authentication works and whose pods answer `/api/healthz`."""


class ManagedBy(StrEnum):
    """Who reconciles a job."""

    OPERATOR = "trimtab.dev/operator"
    """The Trimtab operator of this cluster."""
    MULTIKUEUE = "kueue.x-k8s.io/multikueue"
    """MultiKueue, which runs the job in another cluster; the operator leaves it alone."""


class Storage(ApiModel):
    """Where the trial log, results of stages, checkpoints and artifacts are kept."""

    uri: Uri
    """`s3://bucket/prefix` or `pvc://claim/path`; each job has a folder of its own below it."""
    secret_ref: SecretRef | None = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and optionally AWS_SESSION_TOKEN, AWS_ENDPOINT_URL and AWS_REGION; absent = what the pods have of themselves."""


class Device(StrEnum):
    """Where training and candidates run."""

    AUTO = "Auto"
    """A GPU where a worker has one that works, else the CPU."""
    CPU = "cpu"
    CUDA = "cuda"


class Group(ApiModel):
    """Pods of one kind."""

    resources: Resources | None = None
    """Resources of the Ray container. Computed: by the operator's settings."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels that the nodes must have."""
    tolerations: Tolerations = ()
    """Taints of nodes that do not keep the pods away."""
    template: Template = Field(default_factory=dict)
    """More of the pod: affinity, topologySpreadConstraints, volumes with volumeMounts, runtimeClassName, annotations and labels; at most 16 KiB. Volumes may be a persistentVolumeClaim, configMap, secret or emptyDir."""


class WorkerGroup(Group):
    """The pods in which trials run."""

    replicas: Annotated[int, Field(ge=1, le=1024)] | None = None
    """How many. Computed: parallelTrials × numWorkers."""


class Cluster(ApiModel):
    """The machines of a job."""

    device: Device = Device.AUTO
    """Auto, cpu or cuda; cuda without a working GPU fails the preflight."""
    image: Image | None = None
    """Image of all pods. Computed: by the operator's settings."""
    image_pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=8)] = ()
    """Secrets with which images are pulled."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = ()
    """Environment of all Ray containers."""
    ray_version: (
        Annotated[str, StringConstraints(max_length=16, pattern=r"^[0-9]+[.][0-9]+[.][0-9]+$")]
        | None
    ) = None
    """Version of Ray in the image, from 2.53.0 on. Computed: by the operator's settings."""
    service_account_name: ObjectName | None = None
    """Service account of the pods. Computed: one of the job's own."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    head: Group = Field(default_factory=Group)
    """The pod of the driver; no trial runs there."""
    workers: WorkerGroup = Field(default_factory=WorkerGroup)
    """The pods in which trials run."""

    mutability: ClassVar[dict[str, Mutability]] = dict.fromkeys(
        (
            "device",
            "image",
            "image_pull_secrets",
            "env",
            "ray_version",
            "service_account_name",
            "priority_class_name",
            "head",
            "workers",
        ),
        Mutability.NEXT_ATTEMPT,
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.env) || self.env.all(e, self.env.exists_one(f, f.name == e.name))",
            check=lambda self: len({entry.name for entry in self.env}) == len(self.env),
            message="must name each variable once",
            field="env",
        ),
        Rule(
            cel=f"!has(self.rayVersion) || self.rayVersion.matches('{RAY_VERSION}')",
            check=lambda self: (
                self.ray_version is None or re.search(RAY_VERSION, self.ray_version) is not None
            ),
            message="must be at least 2.53.0, the first with `/api/healthz`",
            field="ray_version",
        ),
    )


class FailureAction(StrEnum):
    """What is done about a failed trial."""

    RETRY = "Retry"
    """Run it again, from its last checkpoint."""
    SHRINK_BATCH = "ShrinkBatch"
    """Run it again in micro-batches of half the size; the batch of a step stays the same."""
    FALLBACK_PRECISION = "FallbackPrecision"
    """Go on from the last good epoch with the next type of `train.precision.fallback`."""
    MARK_INFEASIBLE = "MarkInfeasible"
    """Give it up; the sampler learns to avoid such points, and it does not count as failed."""
    MARK_FAILED = "MarkFailed"
    """Give it up and count it as failed."""
    FAIL_JOB = "FailJob"
    """End the job."""


_ALLOWED: dict[FailureClass, frozenset[FailureAction]] = {
    FailureClass.OOM: frozenset(FailureAction) - {FailureAction.FALLBACK_PRECISION},
    FailureClass.DIVERGED: frozenset(FailureAction) - {FailureAction.SHRINK_BATCH},
    FailureClass.TRIAL_ERROR: frozenset(FailureAction)
    - {FailureAction.SHRINK_BATCH, FailureAction.FALLBACK_PRECISION},
    FailureClass.TIMEOUT: frozenset(FailureAction)
    - {FailureAction.SHRINK_BATCH, FailureAction.FALLBACK_PRECISION},
    FailureClass.NODE_LOST: frozenset(FailureAction)
    - {FailureAction.SHRINK_BATCH, FailureAction.FALLBACK_PRECISION},
    FailureClass.PREEMPTED: frozenset({FailureAction.RETRY}),
    FailureClass.USER_ERROR: frozenset({FailureAction.FAIL_JOB}),
}


class FailureRule(ApiModel):
    """What follows from one class of failures."""

    failure_class: Annotated[FailureClass, Field(alias="class")]
    """The class."""
    actions: Annotated[tuple[FailureAction, ...], Field(min_length=1, max_length=4)]
    """The first failure of a trial takes the first action, the next one the next, all further ones the last."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=" && ".join(
                f"(self.class != '{kind}' || self.actions.all(a, a in"
                f" {sorted(str(action) for action in allowed)}))"
                for kind, allowed in _ALLOWED.items()
            ),
            check=lambda self: set(self.actions) <= _ALLOWED[self.failure_class],
            message="must fit the class: ShrinkBatch is for OOM, FallbackPrecision for Diverged, Preempted is always retried, UserError always fails the job",
            field="actions",
        ),
    )


class FailurePolicy(ApiModel):
    """What follows from failures of trials, by class."""

    mutability: ClassVar[dict[str, Mutability]] = {"overrides": Mutability.NEXT_ATTEMPT}

    overrides: Annotated[tuple[FailureRule, ...], Field(max_length=7, alias="rules")] = ()
    """Replaces the defaults. OOM: ShrinkBatch, MarkInfeasible. Diverged: FallbackPrecision, MarkFailed. TrialError: MarkFailed. UserError: FailJob. Timeout: Retry, MarkFailed. NodeLost: Retry three times, then MarkFailed, because some points kill every process. Preempted: Retry."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.rules) || self.rules.all(r, self.rules.exists_one(q, q.class == r.class))",
            check=lambda self: (
                len({rule.failure_class for rule in self.overrides}) == len(self.overrides)
            ),
            message="must name each class once",
            field="overrides",
        ),
    )
