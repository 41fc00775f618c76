"""The operator as a process on a real API server: a job becomes children, and stays as it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.definitions import apply_definitions, kuberay_definitions, remove_definitions
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob
from operator_process import OperatorProcess, running_operator

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

CHILDREN = {
    ("RayJob", "digits-a1"),
    ("ConfigMap", "digits-a1"),
    ("ConfigMap", "digits-progress"),
    ("ServiceAccount", "digits-progress"),
    ("Role", "digits-progress"),
    ("RoleBinding", "digits-progress"),
    ("NetworkPolicy", "digits-ray"),
}
SECONDS = 20.0


def make_job(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "digits", "namespace": namespace},
        "spec": {
            "model": {"builtin": "mlp"},
            "dataset": {"builtin": "digits"},
            "stages": {"search": {}, "train": {}},
            "storage": {"uri": "s3://runs/all"},
        },
    }


@pytest.fixture(scope="module")
def server(api_server: Cluster) -> Iterator[Cluster]:
    """A cluster that has KubeRay's definitions for the time of this module."""
    apply_definitions(api_server.api, kuberay_definitions())
    yield api_server
    remove_definitions(api_server.api, kuberay_definitions())


@pytest.fixture
def operator(server: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    with running_operator(server, tmp_path) as operator:
        yield operator


@pytest.fixture
def namespace(server: Cluster, make_namespace: NamespaceMaker) -> str:
    return make_namespace(server)


def find_children(server: Cluster, namespace: str) -> dict[tuple[str, str], dict[str, Any]]:
    kinds = {kind for kind, _ in CHILDREN}
    return {
        (kind, child["metadata"]["name"]): child
        for kind in kinds
        for child in server.api.list(kind, namespace, "trimtab.dev/job=digits")
    }


def wait_for_children(server: Cluster, namespace: str) -> None:
    assert wait_until(lambda: find_children(server, namespace).keys() == CHILDREN, SECONDS), (
        find_children(server, namespace).keys()
    )


def read_conditions(server: Cluster, namespace: str) -> dict[str, tuple[str, str]]:
    job = server.api.get("OptimizationJob", "digits", namespace)
    conditions = job.get("status", {}).get("conditions", [])
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in conditions}


def read_versions(server: Cluster, namespace: str) -> dict[tuple[str, str], str]:
    documents = {
        **find_children(server, namespace),
        ("OptimizationJob", "digits"): server.api.get("OptimizationJob", "digits", namespace),
    }
    return {key: document["metadata"]["resourceVersion"] for key, document in documents.items()}


def play_kuberay(server: Cluster, namespace: str) -> None:
    """Say what KubeRay says first, so that the operator has nothing to wait for."""
    status = {"status": {"jobDeploymentStatus": "Initializing", "jobStatus": ""}}
    server.api.patch("RayJob", "digits-a1", status, namespace, subresource="/status")


def test_f04_a_job_becomes_its_children_and_a_status_and_then_nothing_is_written(
    server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    server.api.create(make_job(namespace))
    wait_for_children(server, namespace)
    play_kuberay(server, namespace)
    expected = {"Accepted": ("True", "SpecAccepted"), "ClusterReady": ("False", "Provisioning")}
    assert wait_until(
        lambda: expected.items() <= read_conditions(server, namespace).items(), SECONDS
    ), read_conditions(server, namespace)
    job = server.api.get("OptimizationJob", "digits", namespace)
    assert job["status"]["attempt"] == 1
    assert job["status"]["state"] == "Starting"
    for reason in ("Accepted", "ClusterCreated"):
        WatchedJob(server, namespace).wait_for_events(reason)
    versions = read_versions(server, namespace)
    rounds = operator.read_log().count("\n")
    # Several resyncs later everything is as it was.
    wait_until(lambda: read_versions(server, namespace) != versions, 5.0)
    assert read_versions(server, namespace) == versions
    assert operator.read_log().count("\n") == rounds


def test_f13_a_signal_ends_the_operator_and_another_one_goes_on(
    server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    server.api.create(make_job(namespace))
    wait_for_children(server, namespace)
    uids = {
        key: child["metadata"]["uid"] for key, child in find_children(server, namespace).items()
    }
    assert operator.stop() == 0
    server.api.delete("Role", "digits-progress", namespace)
    operator.start()
    wait_for_children(server, namespace)
    again = {
        key: child["metadata"]["uid"] for key, child in find_children(server, namespace).items()
    }
    changed = {key for key in uids if uids[key] != again[key]}
    assert changed == {("Role", "digits-progress")}


def test_f46_a_deleted_role_comes_back_while_the_attempt_goes_on(
    server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    server.api.create(make_job(namespace))
    wait_for_children(server, namespace)
    rayjob = find_children(server, namespace)["RayJob", "digits-a1"]["metadata"]["uid"]
    server.api.delete("Role", "digits-progress", namespace)
    wait_for_children(server, namespace)
    assert find_children(server, namespace)["RayJob", "digits-a1"]["metadata"]["uid"] == rayjob


def test_f18_the_name_of_a_child_that_is_taken_is_neither_adopted_nor_deleted(
    server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    metadata = {"name": "digits-progress", "namespace": namespace}
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
    before = server.api.create(foreign)
    server.api.create(make_job(namespace))
    assert wait_until(
        lambda: read_conditions(server, namespace).get("Degraded") == ("True", "NameConflict"),
        SECONDS,
    ), read_conditions(server, namespace)
    after = server.api.get("ConfigMap", "digits-progress", namespace)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    server.api.delete("ConfigMap", "digits-progress", namespace)
    wait_for_children(server, namespace)


def test_f37_a_job_waits_for_kuberay_and_starts_when_it_is_installed(
    server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    server.api.delete("CustomResourceDefinition", "rayjobs.ray.io")
    assert wait_until(lambda: is_unserved(server), SECONDS)
    server.api.create(make_job(namespace))
    assert wait_until(
        lambda: read_conditions(server, namespace).get("Degraded") == ("True", "KubeRayMissing"),
        SECONDS,
    ), read_conditions(server, namespace)
    apply_definitions(server.api, kuberay_definitions())
    wait_for_children(server, namespace)


def is_unserved(server: Cluster) -> bool:
    return server.api.find("CustomResourceDefinition", "rayjobs.ray.io") is None
