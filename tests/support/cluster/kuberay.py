"""The KubeRay operator: a program beside the API server in tier K, a pod in tier N.

Outside the cluster it cannot reach a Ray head, so there a proxy answers for all heads, and it may do
everything. In a pod it is installed by its own chart, which is in its module, with its own rights.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.access import Cluster
from cluster.api import Api
from cluster.control_plane import ControlPlane
from cluster.definitions import apply_definitions, kuberay_definitions
from cluster.errors import ClusterStartError
from cluster.processes import find_free_ports, wait_until
from cluster.programs import module_folder, program
from helm_chart import run_helm

__all__ = ["install_kuberay", "start_kuberay", "stopped_kuberay"]

_MODULE = "github.com/ray-project/kuberay"
_NAMESPACE = "kuberay-system"
_SECONDS = 120


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
    """Install KubeRay with its own chart, in a namespace that Pod Security holds to `restricted`.

    Args:
        cluster: In whose pods names resolve.
        image: Of the program alone, with a tag.

    Raises:
        HelmError: It is not available in time.
    """
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": _NAMESPACE, "labels": labels}
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    repository, _, tag = image.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "operatorCommand": "/program",
        "leaderElectionEnabled": False,
        "podSecurityContext": {"runAsUser": 65532, "runAsGroup": 65532},
        "readinessProbe": {"initialDelaySeconds": 1, "periodSeconds": 1},
        # The tenth of a core that it has by default makes its start slow.
        "resources": {"limits": {"cpu": None}},
    }
    chart = module_folder("kuberay", _MODULE) / "helm-chart" / "kuberay-operator"
    release = ("install", "kuberay-operator", str(chart), "--namespace", _NAMESPACE)
    wait = ("--wait", f"--timeout={_SECONDS}s", "--values", "-")
    run_helm(*release, *wait, cluster=cluster, text=json.dumps(values))


@contextmanager
def stopped_kuberay(cluster: Cluster) -> Iterator[None]:
    """Keep KubeRay's operator of tier N from running for a while; its Ray clusters go on.

    Raises:
        ClusterStartError: It goes on as well.
    """
    labels = "app.kubernetes.io/name=kuberay-operator"
    (found,) = cluster.api.list("Deployment", labels=labels)
    metadata = found["metadata"]
    deployment = ("-n", metadata["namespace"], f"deployment/{metadata['name']}")
    cluster.kubectl("scale", *deployment, "--replicas=0")
    try:
        if not wait_until(lambda: cluster.api.list("Pod", labels=labels) == [], _SECONDS):
            raise ClusterStartError("KubeRay's pod does not end")
        yield
    finally:
        cluster.kubectl("scale", *deployment, "--replicas=1")
