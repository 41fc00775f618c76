"""What others own in a child is theirs and is named; what is taken from a child comes back."""

from typing import Any

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.watched_job import WatchedJob, make_job
from operator_process import OperatorProcess

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

VERSIONS = {
    "ConfigMap": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "RayJob": "ray.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
}
FOREIGN_RULE = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


@pytest.fixture
def job(
    ray_api_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> WatchedJob:
    """A job whose driver runs, and whose every failed attempt would be its last."""
    namespace = make_namespace(ray_api_server)
    job = WatchedJob.create(ray_api_server, make_job(namespace, backoffLimit=0))
    job.wait_for_attempt(1)
    job.play_start()
    job.report(sequence=1)
    job.wait_for("ClusterReady", "True/WorkersReady")
    return job


def patch(job: WatchedJob, kind: str, name: str, changes: dict[str, Any]) -> None:
    job.cluster.api.patch(kind, name, changes, job.namespace)


def read_uid(job: WatchedJob, kind: str, name: str) -> str:
    found = job.children().get((kind, name), {})
    return str(found.get("metadata", {}).get("uid", ""))


def delete_and_wait(job: WatchedJob, kind: str, name: str) -> None:
    """Delete a child and wait for another one in its place."""
    uid = read_uid(job, kind, name)
    job.cluster.api.delete(kind, name, job.namespace, propagationPolicy="Background")
    job.wait(lambda: read_uid(job, kind, name) not in {"", uid})


def count_tries(operator: OperatorProcess, job: WatchedJob) -> int:
    """Return how many passes over a job have failed so far."""
    lines = operator.read_log().splitlines()
    return sum("the pass failed" in line and f'"{job.namespace}"' in line for line in lines)


@pytest.mark.parametrize(
    ("child", "fields", "field"),
    [
        ("RayJob/digits-a1", {"spec": {"ttlSecondsAfterFinished": 300}}, "ttlSeconds"),
        ("ConfigMap/digits-progress", {"data": {"control.json": "{}"}}, "control.json"),
        ("Role/digits-progress", {"rules": [FOREIGN_RULE]}, ".rules"),
        ("NetworkPolicy/digits-ray", {"spec": {"policyTypes": ["Egress"]}}, "policyTypes"),
    ],
)
def test_f16_a_field_that_another_manager_owns_is_named_and_stays_his(
    job: WatchedJob, operator: OperatorProcess, child: str, fields: dict[str, Any], field: str
) -> None:
    kind, _, name = child.partition("/")
    metadata = {"name": name, "namespace": job.namespace}
    bare = {"apiVersion": VERSIONS[kind], "kind": kind, "metadata": metadata}
    rayjob = read_uid(job, "RayJob", "digits-a1")
    taken = job.cluster.api.apply({**bare, **fields}, "gitops")
    job.wait_for("Degraded", "True/FieldConflict")
    assert field in job.words("Degraded")
    assert job.words("Degraded").endswith("belongs to gitops")
    # Several tries later it is as its owner wants it.
    tries = count_tries(operator, job)
    job.wait(lambda: count_tries(operator, job) > tries + 2)
    found = job.cluster.api.get(kind, name, job.namespace)
    assert found["metadata"]["resourceVersion"] == taken["metadata"]["resourceVersion"]
    # A driver that told nothing meanwhile would be the next trouble.
    job.report(sequence=2)
    job.cluster.api.apply(bare, "gitops")
    job.wait_for("Degraded", "False/Recovered")
    assert read_uid(job, "RayJob", "digits-a1") == rayjob
    assert job.said("ClusterReady") == "True/WorkersReady"


@pytest.mark.parametrize(
    ("kind", "name", "changes"),
    [
        ("RayJob", "digits-a1", {"spec": {"shutdownAfterJobFinishes": None}}),
        ("RayJob", "digits-a1", {"metadata": {"labels": None}}),
        ("RayJob", "digits-a1", {"metadata": {"ownerReferences": None}}),
        ("ConfigMap", "digits-progress", {"data": {"control.json": None}}),
        ("ConfigMap", "digits-progress", {"metadata": {"labels": None}}),
        ("ConfigMap", "digits-a1", {"metadata": {"labels": None}}),
        ("Role", "digits-progress", {"metadata": {"ownerReferences": None}}),
        ("RoleBinding", "digits-progress", {"subjects": None}),
        ("ServiceAccount", "digits-progress", {"automountServiceAccountToken": None}),
        ("NetworkPolicy", "digits-ray", {"spec": {"ingress": None}}),
    ],
)
def test_f17_what_a_hand_takes_from_a_child_comes_back(
    job: WatchedJob, kind: str, name: str, changes: dict[str, Any]
) -> None:
    before = job.cluster.api.get(kind, name, job.namespace)
    patch(job, kind, name, changes)

    def is_restored() -> bool:
        found = job.cluster.api.get(kind, name, job.namespace)
        return without_versions(found) == without_versions(before)

    job.wait(is_restored)
    job.wait(lambda: any(f"{kind} {name} " in text for text in job.events("ChildRestored")))
    assert read_uid(job, "RayJob", "digits-a1")
    assert job.status()["attempt"] == 1
    assert job.said("Degraded") != "True/FieldConflict"


def without_versions(document: dict[str, Any]) -> dict[str, Any]:
    changing = {"generation", "managedFields", "resourceVersion"}
    kept = {key: value for key, value in document["metadata"].items() if key not in changing}
    return {**document, "metadata": kept}


def test_f17_each_deleted_child_is_made_again_under_the_running_driver(job: WatchedJob) -> None:
    rayjob = read_uid(job, "RayJob", "digits-a1")
    for kind, name in sorted(job.children()):
        if kind == "RayJob":
            continue
        delete_and_wait(job, kind, name)
    job.wait(lambda: bool(job.events("ChildRestored")))
    assert read_uid(job, "RayJob", "digits-a1") == rayjob
    assert job.status()["attempt"] == 1


def test_f17_a_deleted_rayjob_is_followed_by_a_free_attempt(job: WatchedJob) -> None:
    job.cluster.api.delete("RayJob", "digits-a1", job.namespace)
    job.wait_for_attempt(2)
    job.wait(lambda: ("ConfigMap", "digits-a1") not in job.children())
    assert job.said("Failed") == ""
    assert "failedAttempts" not in job.status()


def test_f17_a_deleted_job_of_a_target_measures_again(
    ray_api_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> None:
    pi = {"name": "pi", "nodeSelector": {"board": "pi"}}
    namespace = make_namespace(ray_api_server)
    job = WatchedJob.create(ray_api_server, make_job(namespace, targets=[pi]))
    job.wait_for_attempt(1)
    job.play_start()
    job.end()
    job.play(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    job.wait(lambda: read_uid(job, "Job", "digits-t-pi") != "")
    delete_and_wait(job, "Job", "digits-t-pi")
    job.report_target("pi")
    job.wait_for("Complete", "True/Finished")
