"""Tier N itself: a RayJob written by hand runs on real Ray and comes to its end."""

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.claims import make_claim
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.ray_jobs import make_ray_job

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(600)]

ENTRYPOINT = """python -c "
import ray

ray.init()
square = ray.remote(lambda number: number * number)
total = sum(ray.get([square.remote(number) for number in range(4)]))
open('/claim/total', 'w').write(str(total))
" """


def run_job(server: Cluster, job: Manifest) -> Manifest:
    """Create a RayJob and return its status once it has ended."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    server.api.create(job)

    def read_status() -> Manifest:
        status: Manifest = server.api.get("RayJob", name, namespace).get("status", {})
        return status

    assert wait_until(
        lambda: read_status().get("jobDeploymentStatus") in {"Complete", "Failed"}, 300
    ), read_status()
    return read_status()


def test_f76_a_ray_job_runs_under_restricted_pod_security(
    node_server: Cluster, make_namespace: NamespaceMaker, trainer_image: str
) -> None:
    namespace = make_namespace(node_server, {"pod-security.kubernetes.io/enforce": "restricted"})
    folder = make_claim(node_server, namespace, "runs")
    job = make_ray_job(
        "hand",
        namespace,
        image=trainer_image,
        entrypoint=ENTRYPOINT,
        worker_limits={"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"},
        claim="runs",
    )
    status = run_job(node_server, job)
    assert (status["jobDeploymentStatus"], status["jobStatus"]) == ("Complete", "SUCCEEDED")
    assert folder is None or (folder / "total").read_text() == "14"
    assert wait_until(lambda: not node_server.api.list("RayCluster", namespace), 60)
