"""The RayJob of one attempt.

K8sJobMode, because the sidecar submits before the workers are there and breaks Pod Security; no
retry at any level but ours, so that the driver starts at most once per cluster; token
authentication named explicitly, because an empty option leaves it off. `suspend` is never written:
it belongs to queue controllers.
"""

from collections.abc import Mapping
from typing import Any

from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.configmaps import ANNOTATION_RECORD
from trimtab_operator.resources.identity import pick_queue_labels
from trimtab_operator.resources.names import attempt_name
from trimtab_operator.resources.pods import PodShape, build_pod_template
from trimtab_operator.resources.template import read_template

__all__ = [
    "FIXED_FIELDS",
    "build_rayjob",
    "count_workers",
    "read_account",
    "read_worker_count",
    "restore_rayjob",
]

FIXED_FIELDS: Mapping[str, Any] = {
    "entrypoint": "python -m trimtab_trainer drive",
    "submissionMode": "K8sJobMode",
    "backoffLimit": 0,
    "submitterConfig": {"backoffLimit": 0},
    "shutdownAfterJobFinishes": True,
    "ttlSecondsAfterFinished": 0,
}
"""Fields of every RayJob that depend on nothing. Deadlines are not among them: the planner keeps
them, since they may be edited while an attempt runs."""
_COMPLETED_FIELDS = ("rayClusterSpec", "submitterPodTemplate")
"""Fields that KubeRay and queues complete in a RayJob that there is."""
_WORKER_DRAIN_SECONDS = 25
"""Work that runs stores where it is; providers announce the end of a machine 30 s before."""
_HEAD_DRAIN_SECONDS = 5
"""Workers that end with the whole cluster need the driver to store their work."""
_SUBMITTER_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}


def build_rayjob(inputs: AttemptInputs, record: str) -> dict[str, Any]:
    """Return the RayJob.

    Args:
        inputs: The attempt.
        record: What the planner remembers of the attempt at its start, for as long as its ConfigMap
            is not there.
    """
    identity = inputs.identity
    metadata = identity.child_metadata(
        attempt_name(identity.name, inputs.attempt),
        attempt=inputs.attempt,
        labels=identity.queue_labels(),
    )
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {**metadata, "annotations": {ANNOTATION_RECORD: record}},
        "spec": {
            **FIXED_FIELDS,
            "rayClusterSpec": _build_cluster(inputs),
            "submitterPodTemplate": _build_submitter(inputs),
        },
    }


def restore_rayjob(
    inputs: AttemptInputs, record: str, labels: Mapping[str, str], spec: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what brings an edited RayJob back without touching what others completed.

    KubeRay writes defaults into the list of worker groups and owns all of it from then on; a queue
    writes where its quota lies. Both stay, as do the labels of queues.

    Args:
        inputs: As at the start of the attempt.
        record: As at the start of the attempt.
        labels: Of the RayJob, as the API server has them.
        spec: Of the RayJob, as the API server has it.
    """
    made = build_rayjob(inputs, record)
    own = inputs.identity.child_labels(inputs.attempt)
    completed = {key: spec[key] for key in _COMPLETED_FIELDS if key in spec}
    return {
        **made,
        "metadata": {**made["metadata"], "labels": {**pick_queue_labels(labels), **own}},
        "spec": {**made["spec"], **completed},
    }


def read_account(spec: Mapping[str, Any]) -> str | None:
    """Return the service account of the driver of a RayJob that there is; None where it has none.

    Args:
        spec: Of the RayJob, as the API server has it.
    """
    value: Any = spec
    for key in ("rayClusterSpec", "headGroupSpec", "template", "spec", "serviceAccountName"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def count_workers(inputs: AttemptInputs) -> int:
    """Return how many worker pods an attempt gets: one per process that trains."""
    workers, stages = inputs.spec.cluster.workers, inputs.spec.stages
    if workers.replicas is not None:
        return workers.replicas
    parallel = stages.search.parallel_trials if stages.search else 1
    return parallel * (stages.train.num_workers if stages.train else 1)


def read_worker_count(spec: Mapping[str, Any]) -> int:
    """Return how many worker pods a RayJob that there is asks for.

    Args:
        spec: Of the RayJob, as the API server has it.
    """
    groups = (spec.get("rayClusterSpec") or {}).get("workerGroupSpecs") or []
    return sum(group.get("replicas") or 0 for group in groups)


def _build_cluster(inputs: AttemptInputs) -> dict[str, Any]:
    replicas = count_workers(inputs)
    return {
        "rayVersion": inputs.spec.cluster.ray_version or inputs.settings.ray_version,
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": False,
        "headGroupSpec": {
            # User code runs on workers: the head's pod carries the token of the API.
            "rayStartParams": {"num-cpus": "0"},
            "template": _build_head(inputs),
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": replicas,
                "minReplicas": replicas,
                "maxReplicas": replicas,
                "rayStartParams": {},
                "template": _build_worker(inputs),
            }
        ],
    }


def _build_head(inputs: AttemptInputs) -> dict[str, Any]:
    group = inputs.spec.cluster.head
    shape = PodShape(
        container="ray-head",
        image=inputs.image,
        resources=group.resources,
        default_resources=inputs.settings.head_resources,
        token=True,
        node_selector=group.node_selector,
        tolerations=group.tolerations,
        template=read_template(group.template),
        drain_seconds=_HEAD_DRAIN_SECONDS,
    )
    return build_pod_template(inputs, shape)


def _build_worker(inputs: AttemptInputs) -> dict[str, Any]:
    group = inputs.spec.cluster.workers
    shape = PodShape(
        container="ray-worker",
        image=inputs.image,
        resources=group.resources,
        default_resources=inputs.settings.worker_resources,
        node_selector=group.node_selector,
        tolerations=group.tolerations,
        template=read_template(group.template),
        drain_seconds=_WORKER_DRAIN_SECONDS,
    )
    return build_pod_template(inputs, shape)


def _build_submitter(inputs: AttemptInputs) -> dict[str, Any]:
    """It runs beside the head: where the head may be placed, it may be placed."""
    head = inputs.spec.cluster.head
    shape = PodShape(
        container="ray-job-submitter",
        image=inputs.image,
        resources=None,
        default_resources=_SUBMITTER_RESOURCES,
        node_selector=head.node_selector,
        tolerations=head.tolerations,
        runs_trainer=False,
        restart_policy="Never",
    )
    return build_pod_template(inputs, shape)
