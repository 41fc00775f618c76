"""The operator beside the real KubeRay: from the job to a ready Ray cluster, and away again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.simulated_nodes import SimulatedNodes
from operator_process import OperatorProcess, running_operator

pytestmark = pytest.mark.cluster_k

SECONDS = 60.0


def make_job(namespace: str) -> dict[str, Any]:
    gpu = {"limits": {"nvidia.com/gpu": 1, "cpu": 2, "memory": "4Gi"}}
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "digits", "namespace": namespace},
        "spec": {
            "model": {"builtin": "mlp"},
            "dataset": {"builtin": "digits"},
            "stages": {"search": {"numTrials": 4, "parallelTrials": 2}, "train": {}},
            "cluster": {"device": "cpu", "workers": {"resources": gpu}},
            "storage": {"uri": "s3://runs/all"},
        },
    }


@pytest.fixture
def operator(
    kuberay_server: Cluster, simulated_nodes: SimulatedNodes, tmp_path: Path
) -> Iterator[OperatorProcess]:
    with running_operator(kuberay_server, tmp_path) as operator:
        yield operator


def read_conditions(server: Cluster, namespace: str) -> dict[str, tuple[str, str]]:
    job = server.api.get("OptimizationJob", "digits", namespace)
    conditions = job.get("status", {}).get("conditions", [])
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in conditions}


def wait_for_condition(server: Cluster, namespace: str, kind: str, reason: str) -> None:
    assert wait_until(
        lambda: read_conditions(server, namespace).get(kind, ("", ""))[1] == reason, SECONDS
    ), read_conditions(server, namespace)


def count_gpus(server: Cluster, namespace: str) -> int:
    pods = server.api.list("Pod", namespace, "trimtab.dev/job=digits")
    limits = [pod["spec"]["containers"][0].get("resources", {}).get("limits", {}) for pod in pods]
    return sum(int(limit.get("nvidia.com/gpu", 0)) for limit in limits)


def count_pods(server: Cluster, namespace: str) -> int:
    return len(server.api.list("Pod", namespace, "trimtab.dev/job=digits"))


def test_a_job_gets_its_ray_cluster_with_gpus_and_loses_it_with_its_deletion(
    kuberay_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(kuberay_server, {"pod-security.kubernetes.io/enforce": "restricted"})
    kuberay_server.api.create(make_job(namespace))
    wait_for_condition(kuberay_server, namespace, "Scheduled", "PodsScheduled")
    wait_for_condition(kuberay_server, namespace, "ClusterReady", "WorkersReady")
    assert count_gpus(kuberay_server, namespace) == 2
    assert count_pods(kuberay_server, namespace) >= 3
    kuberay_server.api.delete("OptimizationJob", "digits", namespace)
    assert wait_until(lambda: count_pods(kuberay_server, namespace) == 0, SECONDS)


def test_f24_a_suspended_job_holds_no_pods_and_goes_on_in_a_new_attempt(
    kuberay_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(kuberay_server)
    kuberay_server.api.create(make_job(namespace))
    wait_for_condition(kuberay_server, namespace, "ClusterReady", "WorkersReady")
    kuberay_server.api.patch("OptimizationJob", "digits", {"spec": {"suspend": True}}, namespace)
    wait_for_condition(kuberay_server, namespace, "Suspended", "SuspendedBySpec")
    assert wait_until(lambda: count_pods(kuberay_server, namespace) == 0, SECONDS)
    kuberay_server.api.patch("OptimizationJob", "digits", {"spec": {"suspend": False}}, namespace)
    assert wait_until(
        lambda: kuberay_server.api.find("RayJob", "digits-a2", namespace) is not None, SECONDS
    )
    wait_for_condition(kuberay_server, namespace, "ClusterReady", "WorkersReady")
