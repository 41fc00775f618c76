"""RayJobs written by hand: what the tests of the clusters themselves run.

Tests of the operator do not use them; its RayJobs are built by the operator.
"""

from cluster.api import Manifest

__all__ = ["make_ray_job"]

_USER = 1000
_POD_SECURITY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def make_ray_job(
    name: str,
    namespace: str,
    *,
    image: str = "trimtab.test/ray:1",
    entrypoint: str = "true",
    workers: int = 1,
    worker_limits: Manifest | None = None,
    claim: str | None = None,
) -> Manifest:
    """Return a RayJob that passes Pod Security `restricted` and has token authentication.

    Args:
        name: Name of the RayJob.
        namespace: Its namespace.
        image: Image of head, workers and submitter.
        entrypoint: What runs on the head once all workers are ready: one command, since what
            follows `&&` or `;` would run in the submitter.
        workers: Number of worker pods.
        worker_limits: Limits of a worker, for example GPUs.
        claim: A claim that the head mounts at `/claim`.
    """
    small = {"cpu": "200m", "memory": "512Mi"}
    limits = worker_limits or {"cpu": "1", "memory": "1Gi"}
    group = {
        "groupName": "workers",
        "replicas": workers,
        "minReplicas": workers,
        "maxReplicas": workers,
        "rayStartParams": {},
        "template": _make_pod("ray-worker", image, limits),
    }
    head = _make_pod("ray-head", image, {"cpu": "1", "memory": "2Gi"})
    if claim is not None:
        _mount_claim(head["spec"], claim)
    cluster = {
        "rayVersion": "2.60.0",
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
            "template": head,
        },
        "workerGroupSpecs": [group],
    }
    submitter = _make_pod("ray-job-submitter", image, small)
    submitter["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "submissionMode": "K8sJobMode",
            "backoffLimit": 0,
            "submitterConfig": {"backoffLimit": 0},
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 0,
            "entrypoint": entrypoint,
            "rayClusterSpec": cluster,
            "submitterPodTemplate": submitter,
        },
    }


def _make_pod(container: str, image: str, limits: Manifest) -> Manifest:
    return {
        "spec": {
            "securityContext": _POD_SECURITY,
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [
                {
                    "name": container,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "env": [
                        {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"},
                        {"name": "HOME", "value": "/tmp"},
                    ],
                    "resources": {"limits": limits, "requests": {"cpu": "50m"}},
                    "securityContext": _CONTAINER_SECURITY,
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                }
            ],
        }
    }


def _mount_claim(pod: Manifest, claim: str) -> None:
    source = {"persistentVolumeClaim": {"claimName": claim}}
    pod["volumes"].append({"name": "claim", **source})
    pod["containers"][0]["volumeMounts"].append({"name": "claim", "mountPath": "/claim"})
