"""The Job that measures one placed target, after the RayJob has ended.

A plain batch/v1 Job: the GPUs of the cluster are free by then, and no Ray runs on edge nodes. Its
deadline holds from its creation, so a node that never comes ends it like one that is too slow.
"""

from typing import Any

from trimtab_api.labels import LABEL_TARGET
from trimtab_api.v1alpha1.goals import Target
from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.names import target_job_name
from trimtab_operator.resources.pods import PodShape, build_pod_template

__all__ = ["build_target_job"]

# A node that is lost while it measures is worth another try; the deadline bounds them all.
_RETRIES = 2


def build_target_job(inputs: AttemptInputs, target: Target) -> dict[str, Any]:
    """Return the Job of a placed target."""
    identity = inputs.identity
    labels = {LABEL_TARGET: target.name}
    shape = PodShape(
        container="measure",
        image=target.image or inputs.image,
        resources=target.resources,
        default_resources=inputs.settings.worker_resources,
        command=("python", "-m", "trimtab_trainer", "measure", target.name),
        token=True,
        node_selector=target.node_selector,
        tolerations=target.tolerations,
        labels=labels,
        restart_policy="Never",
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": identity.child_metadata(
            target_job_name(identity.name, target.name), attempt=inputs.attempt, labels=labels
        ),
        "spec": {
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": inputs.spec.stages.benchmark.timeout_seconds,
            "template": build_pod_template(inputs, shape),
        },
    }
