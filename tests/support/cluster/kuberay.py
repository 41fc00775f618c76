"""The KubeRay operator: a program beside the API server in tier K, a pod in tier N.

Outside the cluster it cannot reach a Ray head, so there a proxy answers for all heads. Its own
access rights are not under test: it may do everything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.access import Cluster
from cluster.api import Api, Manifest
from cluster.control_plane import ControlPlane
from cluster.definitions import apply_definitions, kuberay_definitions
from cluster.errors import ClusterStartError
from cluster.processes import find_free_ports, wait_until
from cluster.programs import program

__all__ = ["install_kuberay", "start_kuberay", "stopped_kuberay"]

_NAMESPACE = "ray-system"


def start_kuberay(plane: ControlPlane, heads: str) -> None:
    """Install KubeRay's definitions and start its operator.

    Args:
        plane: The cluster.
        heads: Address of the proxy that answers for the Ray heads.

    Raises:
        ClusterStartError: It ended at once, or a definition is not served.
        MissingToolError: The program is missing and cannot be built.
    """
    apply_definitions(plane.cluster.api, kuberay_definitions())
    config = plane.user_kubeconfig("kuberay")
    metrics, probe = find_free_ports(2)
    plane.processes.start(
        "kuberay",
        [
            program("kuberay"),
            f"--metrics-addr=127.0.0.1:{metrics}",
            f"--health-probe-bind-address=127.0.0.1:{probe}",
            "--enable-leader-election=false",
        ],
        environment={**os.environ, "KUBECONFIG": str(config), "HTTP_PROXY": heads},
    )
    probed = Api(f"http://127.0.0.1:{probe}", "")
    plane.processes.wait_ready("kuberay", probed.is_ready)


def install_kuberay(cluster: Cluster, image: str) -> None:
    """Install KubeRay's definitions and run its operator in a pod, where names resolve.

    Raises:
        ClusterStartError: It is not available in time.
    """
    apply_definitions(cluster.api, kuberay_definitions())
    for manifest in _operator_manifests(image):
        cluster.api.apply(manifest)

    def is_available() -> bool:
        deployment = cluster.api.get("Deployment", "kuberay", _NAMESPACE)
        return bool(deployment.get("status", {}).get("availableReplicas"))

    if not wait_until(is_available, 120):
        pods = cluster.api.list("Pod", _NAMESPACE)
        states = [pod["status"].get("containerStatuses") for pod in pods]
        raise ClusterStartError(f"KubeRay is not available after 120 s: {states}")


@contextmanager
def stopped_kuberay(cluster: Cluster) -> Iterator[None]:
    """Keep KubeRay's operator of tier N from running for a while; its Ray clusters go on."""
    deployment = ("-n", _NAMESPACE, "deployment/kuberay")
    cluster.kubectl("scale", *deployment, "--replicas=0")
    try:
        cluster.kubectl("rollout", "status", *deployment, "--timeout=60s")
        yield
    finally:
        cluster.kubectl("scale", *deployment, "--replicas=1")


def _operator_manifests(image: str) -> list[Manifest]:
    named = {"name": "kuberay", "namespace": _NAMESPACE}
    labels = {"app": "kuberay"}
    container = {
        "name": "operator",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["--enable-leader-election=false"],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8082}, "periodSeconds": 1},
    }
    pod = {"serviceAccountName": "kuberay", "containers": [container]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "kuberay"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"kind": "ServiceAccount", **named}],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]
