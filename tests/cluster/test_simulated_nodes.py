"""Tier K itself: a RayJob becomes a ready cluster, waits for what no node has, and leaves nothing."""

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.ray_jobs import make_ray_job
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay

pytestmark = pytest.mark.cluster_k

SECONDS = 60.0


def has_ready_cluster(server: Cluster, namespace: str) -> bool:
    clusters = server.api.list("RayCluster", namespace)
    return any(one.get("status", {}).get("state") == "ready" for one in clusters)


def test_a_ray_job_gets_its_cluster_and_leaves_nothing(
    kuberay_server: Cluster, simulated_nodes: SimulatedNodes, make_namespace: NamespaceMaker
) -> None:
    api = kuberay_server.api
    namespace = make_namespace(kuberay_server, {"pod-security.kubernetes.io/enforce": "restricted"})
    job = make_ray_job("hand", namespace, workers=2, worker_limits={"nvidia.com/gpu": "1"})
    api.create(job)
    assert wait_until(lambda: has_ready_cluster(kuberay_server, namespace), SECONDS)
    pods = api.list("Pod", namespace, "ray.io/node-type=worker")
    assert [pod["spec"]["nodeName"] for pod in pods] == ["gpu-1", "gpu-1"]
    api.delete("RayJob", "hand", namespace)
    assert wait_until(lambda: not api.list("Pod", namespace), SECONDS)
    assert not api.list("RayCluster", namespace)


@pytest.mark.usefixtures("simulated_nodes")
@pytest.mark.parametrize(("ray_says", "ends"), [("SUCCEEDED", "Complete"), ("FAILED", "Failed")])
def test_a_ray_job_ends_as_its_entrypoint_does(
    kuberay_server: Cluster,
    simulated_ray: SimulatedRay,
    make_namespace: NamespaceMaker,
    ray_says: str,
    ends: str,
) -> None:
    namespace = make_namespace(kuberay_server)
    kuberay_server.api.create(make_ray_job("hand", namespace))
    simulated_ray.end_job(kuberay_server, namespace, "hand", status=ray_says)

    def read_end() -> str:
        status = kuberay_server.api.get("RayJob", "hand", namespace)["status"]
        return str(status.get("jobDeploymentStatus"))

    assert wait_until(lambda: read_end() == ends, SECONDS), read_end()


def test_a_pod_that_fits_nowhere_says_so(
    kuberay_server: Cluster, simulated_nodes: SimulatedNodes, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(kuberay_server)
    job = make_ray_job("huge", namespace, worker_limits={"nvidia.com/gpu": "99"})
    kuberay_server.api.create(job)

    def is_unschedulable() -> bool:
        pods = kuberay_server.api.list("Pod", namespace, "ray.io/node-type=worker")
        conditions = [entry for pod in pods for entry in pod["status"].get("conditions", ())]
        return any(entry.get("reason") == "Unschedulable" for entry in conditions)

    assert wait_until(is_unschedulable, SECONDS)


def test_a_lost_node_takes_its_pods_along(
    kuberay_server: Cluster, simulated_nodes: SimulatedNodes, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(kuberay_server)
    simulated_nodes.add("spare", cpus=1000)
    simulated_nodes.add("lost", gpus=64)
    # More than any other node has.
    job = make_ray_job("mourning", namespace, worker_limits={"nvidia.com/gpu": "32"})
    kuberay_server.api.create(job)
    workers = "ray.io/node-type=worker"
    assert wait_until(lambda: has_ready_cluster(kuberay_server, namespace), SECONDS)
    before = [one["metadata"]["uid"] for one in kuberay_server.api.list("Pod", namespace, workers)]
    simulated_nodes.set_ready("lost", ready=False)

    def is_replaced() -> bool:
        pods = kuberay_server.api.list("Pod", namespace, workers)
        return bool(pods) and all(pod["metadata"]["uid"] not in before for pod in pods)

    assert wait_until(is_replaced, SECONDS)
