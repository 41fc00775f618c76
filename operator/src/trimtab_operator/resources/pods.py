"""The pods of a job: head and workers of its Ray cluster, the submitter, and a target's.

All share image rights, environment, volumes and security; they differ in what they run and where.
Called by `rayjob` and `targetjob`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab_api.labels import (
    ENV_ATTEMPT,
    ENV_DRAIN_SECONDS,
    ENV_JOB,
    ENV_JOB_UID,
    ENV_NAMESPACE,
    ENV_NODE,
    ENV_STORAGE,
    ENV_USAGE_REPORT,
    ENV_USAGE_STATS,
    JOB_FILE,
    KEY_JOB,
)
from trimtab_api.v1alpha1.pods import Resources, Toleration
from trimtab_operator.resources.access import account_name
from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.names import attempt_name
from trimtab_operator.resources.places import (
    build_claim_mounts,
    build_claim_volumes,
    build_secret_sources,
)
from trimtab_operator.resources.plain import to_plain
from trimtab_operator.resources.security import (
    GRACE_SECONDS,
    HOME,
    OWN_VOLUMES,
    build_container_security,
    build_pod_security,
    build_scratch_mounts,
    build_scratch_volumes,
)
from trimtab_operator.resources.template import TemplateParts

__all__ = ["PodShape", "build_pod_template"]

_SPEC_VOLUME = f"{OWN_VOLUMES}job"
_STOP_SECONDS = 5
"""For Ray to end its processes after that."""
_READINESS = {
    "httpGet": {"path": "/api/healthz", "port": 52365},
    "initialDelaySeconds": 2,
    "periodSeconds": 2,
    "timeoutSeconds": 5,
    "failureThreshold": 25,
}
"""What KubeRay asks the agent of Ray, but sooner: it waits ten seconds, then five each time, and no
driver is submitted before all pods have answered. At least as patient as KubeRay."""
_JOB_FOLDER = JOB_FILE.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """What distinguishes one pod of a job from another."""

    container: str
    """Name of the container."""
    image: str
    resources: Resources | None
    """As the job says."""
    default_resources: Mapping[str, Any]
    """Where it says nothing."""
    command: tuple[str, ...] = ()
    """Empty where KubeRay sets it."""
    token: bool = False
    """Whether the account's token is mounted."""
    node_selector: Mapping[str, str] | None = None
    tolerations: tuple[Toleration, ...] | None = None
    template: TemplateParts = field(default_factory=TemplateParts)
    labels: Mapping[str, str] = field(default_factory=dict)
    runs_trainer: bool = True
    """Whether it needs the job's environment and data; the submitter does not."""
    drain_seconds: int | None = None
    """How long a machine of Ray lets work end when the pod is to end; None: it is none."""
    restart_policy: str | None = None
    """None: the default of Kubernetes, or what KubeRay chooses."""


def build_pod_template(inputs: AttemptInputs, shape: PodShape) -> dict[str, Any]:
    """Return the template of a pod."""
    metadata: dict[str, Any] = {
        "labels": {
            **shape.template.labels,
            **shape.labels,
            **inputs.identity.child_labels(inputs.attempt),
        }
    }
    if shape.template.annotations:
        metadata["annotations"] = dict(shape.template.annotations)
    return {"metadata": metadata, "spec": _build_pod_spec(inputs, shape)}


def _build_pod_spec(inputs: AttemptInputs, shape: PodShape) -> dict[str, Any]:
    cluster = inputs.spec.cluster
    drain = shape.drain_seconds
    optional = {
        "nodeSelector": dict(shape.node_selector or {}),
        "tolerations": [to_plain(toleration) for toleration in shape.tolerations or ()],
        "priorityClassName": cluster.priority_class_name,
        "imagePullSecrets": [{"name": secret.name} for secret in cluster.image_pull_secrets],
        "restartPolicy": shape.restart_policy,
        "volumes": _build_volumes(inputs, shape),
    }
    return {
        **shape.template.spec,
        "serviceAccountName": account_name(inputs.identity, cluster.service_account_name),
        "automountServiceAccountToken": shape.token,
        # Service links would add a variable per Service of the namespace.
        "enableServiceLinks": False,
        "securityContext": build_pod_security(),
        "terminationGracePeriodSeconds": GRACE_SECONDS if drain is None else drain + _STOP_SECONDS,
        "containers": [_build_container(inputs, shape)],
        **{key: value for key, value in optional.items() if value},
    }


def _build_container(inputs: AttemptInputs, shape: PodShape) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": shape.container,
        "image": shape.image,
        "resources": _build_resources(shape),
        "securityContext": build_container_security(),
    }
    if shape.command:
        container["command"] = list(shape.command)
    if not shape.runs_trainer:
        return container
    if shape.drain_seconds is not None:
        container["readinessProbe"] = _READINESS
    container["env"] = _build_environment(inputs, shape.drain_seconds)
    sources = build_secret_sources(inputs.spec)
    if sources:
        container["envFrom"] = sources
    container["volumeMounts"] = [
        *build_scratch_mounts(),
        {"name": _SPEC_VOLUME, "mountPath": _JOB_FOLDER, "readOnly": True},
        *build_claim_mounts(inputs.spec, inputs.storage),
        *shape.template.mounts,
    ]
    return container


def _build_resources(shape: PodShape) -> dict[str, Any]:
    if shape.resources is None:
        return dict(shape.default_resources)
    return to_plain(shape.resources)


def _build_volumes(inputs: AttemptInputs, shape: PodShape) -> list[dict[str, Any]]:
    if not shape.runs_trainer:
        return []
    spec_volume = {
        "name": _SPEC_VOLUME,
        "configMap": {
            "name": attempt_name(inputs.identity.name, inputs.attempt),
            "items": [{"key": KEY_JOB, "path": KEY_JOB}],
        },
    }
    return [
        *build_scratch_volumes(),
        spec_volume,
        *build_claim_volumes(inputs.spec, inputs.storage),
        *(dict(volume) for volume in shape.template.volumes),
    ]


def _build_environment(inputs: AttemptInputs, drain: int | None) -> list[dict[str, Any]]:
    identity = inputs.identity
    own = {
        ENV_JOB: identity.name,
        ENV_NAMESPACE: identity.namespace,
        ENV_JOB_UID: identity.uid,
        ENV_ATTEMPT: str(inputs.attempt),
        ENV_STORAGE: inputs.storage,
        ENV_USAGE_STATS: "0",
        ENV_USAGE_REPORT: "disabled",
        "HOME": HOME,
    }
    if drain is not None:
        own[ENV_DRAIN_SECONDS] = str(drain)
    given = [to_plain(entry) for entry in inputs.spec.cluster.env]
    # A name twice would make server-side apply fail; ours win.
    kept = [entry for entry in given if entry["name"] not in {*own, ENV_NODE}]
    # The version is the API server's default, named so that an applied pod equals the stored one.
    node = {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}
    return [
        *({"name": name, "value": value} for name, value in own.items()),
        {"name": ENV_NODE, "valueFrom": node},
        *kept,
    ]
