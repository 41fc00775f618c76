"""A deleted job leaves nothing but what lies in storage, whatever it was doing and however deleted."""

from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.claims import make_claim
from cluster.fixtures import NamespaceMaker
from cluster.job_phases import COMPLETE, MEASURING, PHASES, RUNNING, JobsByPhase
from cluster.leftovers import list_leftovers
from cluster.processes import wait_until
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay
from operator_process import PATIENT, OperatorProcess, running_operator

pytestmark = pytest.mark.cluster_k

SECONDS = 60.0
STORAGE = {"uri": "pvc://runs/all"}


@pytest.fixture(scope="module")
def operator(
    kuberay_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    with running_operator(kuberay_server, tmp_path_factory.mktemp("operator"), PATIENT) as operator:
        yield operator
    assert "Traceback" not in operator.read_log()


@pytest.fixture
def jobs(
    kuberay_server: Cluster,
    operator: OperatorProcess,
    simulated_nodes: SimulatedNodes,
    simulated_ray: SimulatedRay,
    make_namespace: NamespaceMaker,
) -> JobsByPhase:
    """Jobs of a namespace with a claim to store in."""
    namespace = make_namespace(kuberay_server)
    make_claim(kuberay_server, namespace, "runs")
    return JobsByPhase(kuberay_server, namespace, simulated_nodes, simulated_ray)


def read_claim(jobs: JobsByPhase) -> Manifest:
    claim = jobs.cluster.api.get("PersistentVolumeClaim", "runs", jobs.namespace)
    return {key: claim["metadata"].get(key) for key in ("uid", "deletionTimestamp", "annotations")}


def delete_all(jobs: JobsByPhase, names: list[str], policy: str) -> None:
    """Delete jobs and see that none waits for anybody."""
    api = jobs.cluster.api
    for name in names:
        api.delete("OptimizationJob", name, jobs.namespace, propagationPolicy=policy)
    gone = wait_until(lambda: api.list("OptimizationJob", jobs.namespace) == [], SECONDS)
    assert gone, [job["metadata"] for job in api.list("OptimizationJob", jobs.namespace)]


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_f19_a_job_that_is_deleted_in_any_phase_takes_all_but_storage_along(
    jobs: JobsByPhase, policy: str
) -> None:
    made = jobs.make(PHASES, storage=STORAGE)
    assert all("finalizers" not in job.read()["metadata"] for job in made.values())
    claim = read_claim(jobs)
    delete_all(jobs, list(made), policy)
    gone = wait_until(lambda: list_leftovers(jobs.cluster, jobs.namespace) == [], SECONDS)
    assert gone, list_leftovers(jobs.cluster, jobs.namespace)
    assert read_claim(jobs) == claim


def test_f19_what_a_deletion_orphans_is_left_alone_and_ends_by_itself(jobs: JobsByPhase) -> None:
    made = jobs.make((RUNNING, MEASURING, COMPLETE), storage=STORAGE)
    left = {name: set(job.children()) for name, job in made.items()}
    claim = read_claim(jobs)
    delete_all(jobs, list(made), "Orphan")
    children = {name: job.children() for name, job in made.items()}
    assert {name: set(entries) for name, entries in children.items()} == left
    for entries in children.values():
        assert all("ownerReferences" not in child["metadata"] for child in entries.values())
    jobs.ray.end_job(jobs.cluster, jobs.namespace, f"{RUNNING}-a1")
    running = made[RUNNING]
    assert wait_until(lambda: running.pods("head") + running.pods("worker") == [], SECONDS)
    target = children[MEASURING]["Job", f"{MEASURING}-t-pi"]
    assert target["spec"]["activeDeadlineSeconds"] > 0
    assert read_claim(jobs) == claim


def test_f20_a_namespace_goes_with_its_jobs(jobs: JobsByPhase) -> None:
    jobs.make((RUNNING, MEASURING))
    api = jobs.cluster.api
    api.delete("Namespace", jobs.namespace)
    gone = wait_until(lambda: api.find("Namespace", jobs.namespace) is None, SECONDS)
    assert gone, api.get("Namespace", jobs.namespace)["status"]
