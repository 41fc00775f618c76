"""Jobs beside the real KubeRay: held, suspended, robbed of what was made for them, and released."""

from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.job_phases import COMPLETE, MEASURING, PENDING, PHASES, RUNNING, JobsByPhase
from cluster.played_queue import QUEUE_LABEL, PlayedQueue
from cluster.processes import wait_until
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay
from cluster.watched_job import WatchedJob, make_job
from operator_process import PATIENT, OperatorProcess, running_operator

pytestmark = pytest.mark.cluster_k

SECONDS = 60.0


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
    namespace = make_namespace(kuberay_server)
    return JobsByPhase(kuberay_server, namespace, simulated_nodes, simulated_ray)


def wait_for_no_pods(jobs: JobsByPhase) -> None:
    assert wait_until(lambda: jobs.list_pods() == [], SECONDS), jobs.list_pods()


def uid_of(jobs: JobsByPhase, kind: str, name: str) -> str:
    found = jobs.cluster.api.find(kind, name, jobs.namespace) or {"metadata": {"uid": ""}}
    return str(found["metadata"]["uid"])


def read_environment(job: WatchedJob, attempt: int) -> dict[str, str]:
    """Return what the driver of an attempt is told by its environment."""
    rayjob = job.rayjob(attempt)
    assert rayjob is not None
    head = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    return {entry["name"]: entry.get("value", "") for entry in head["containers"][0]["env"]}


def test_f24_a_job_that_is_suspended_in_any_phase_frees_its_pods_and_goes_on(
    jobs: JobsByPhase,
) -> None:
    made = jobs.make(PHASES)
    for job in made.values():
        job.edit({"suspend": True})
    for name, job in made.items():
        if name != COMPLETE:
            job.wait_for("Suspended", "True/SuspendedBySpec")
    assert made[COMPLETE].said("Complete") == "True/Finished"
    wait_for_no_pods(jobs)
    jobs.nodes.release()
    for job in made.values():
        job.edit({"suspend": False})
    for name, job in made.items():
        if name == COMPLETE:
            continue
        attempt = 1 if name == PENDING else 2
        job.wait_for_attempt(attempt)
        job.wait_for("ClusterReady", "True/WorkersReady")
        assert job.said("Suspended") == "False/Resumed"
        # The same study: only the number of the attempt is another one.
        uid = job.read()["metadata"]["uid"]
        told = read_environment(job, attempt)
        assert told["TRIMTAB_JOB_UID"] == uid
        assert told["TRIMTAB_ATTEMPT"] == str(attempt)
        assert told["TRIMTAB_STORAGE"] == "s3://runs/all"
        assert "failedAttempts" not in job.status()
    assert made[RUNNING].status()["trials"]["succeeded"] == 3


def test_f25_a_rayjob_that_a_queue_takes_back_costs_an_attempt_but_no_failure(
    jobs: JobsByPhase, kuberay_server: Cluster
) -> None:
    manifest = make_job(jobs.namespace, backoffLimit=0)
    manifest["metadata"]["labels"] = {QUEUE_LABEL: "team-a"}
    with PlayedQueue(kuberay_server) as queue:
        job = WatchedJob.create(kuberay_server, manifest)
        job.wait_for("Queued", "True/WaitingForQuota")
        assert jobs.list_pods() == []
        queue.let_in(jobs.namespace, "digits-a1")
        jobs.start_driver(job)
        assert job.said("Queued") == "False/Admitted"
        queue.evict(jobs.namespace, "digits-a1")
        job.wait_for_attempt(2)
        job.wait_for("Queued", "True/WaitingForQuota")
        wait_for_no_pods(jobs)
        assert job.rayjob(1) is None
        queue.let_in(jobs.namespace, "digits-a2")
        jobs.start_driver(job, 2)
    assert job.said("Failed") == ""
    assert "failedAttempts" not in job.status()


def test_f17_what_hands_do_to_kuberays_objects_is_mended_or_costs_a_free_attempt(
    jobs: JobsByPhase,
) -> None:
    job = jobs.make((RUNNING,), backoffLimit=0)[RUNNING]
    api, namespace = job.cluster.api, jobs.namespace
    rayjob = uid_of(jobs, "RayJob", f"{RUNNING}-a1")
    # KubeRay owns a part of the RayJob by now, and that is no conflict.
    changes = {"spec": {"shutdownAfterJobFinishes": None}}
    api.patch("RayJob", f"{RUNNING}-a1", changes, namespace)
    job.wait(lambda: bool(job.events("ChildRestored")))
    found = job.rayjob()
    assert found is not None
    assert found["spec"]["shutdownAfterJobFinishes"] is True
    assert found["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["numOfHosts"] == 1
    assert job.said("Degraded") == ""
    service = f"{job.status()['cluster']['rayCluster']}-head-svc"
    old = uid_of(jobs, "Service", service)
    api.delete("Service", service, namespace)
    job.wait(lambda: uid_of(jobs, "Service", service) not in {"", old})
    assert uid_of(jobs, "RayJob", f"{RUNNING}-a1") == rayjob
    assert job.status()["attempt"] == 1
    # With its cluster the driver is gone: the submitter loses sight of it.
    api.delete("RayCluster", job.status()["cluster"]["rayCluster"], namespace)
    labels = f"batch.kubernetes.io/job-name={RUNNING}-a1"
    for submitter in api.list("Pod", namespace, labels):
        jobs.nodes.fail(submitter)
    jobs.start_driver(job, 2)
    assert job.said("Failed") == ""
    assert "failedAttempts" not in job.status()
    assert job.said("Degraded") == ""


def test_f16_only_the_manager_that_took_a_field_is_named(jobs: JobsByPhase) -> None:
    job = jobs.make((RUNNING,))[RUNNING]
    metadata = {"name": f"{RUNNING}-a1", "namespace": jobs.namespace}
    bare = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata}
    job.cluster.api.apply({**bare, "spec": {"ttlSecondsAfterFinished": 300}}, "gitops")
    job.wait_for("Degraded", "True/FieldConflict")
    assert job.words("Degraded").endswith("belongs to gitops")
    assert "workerGroupSpecs" not in job.words("Degraded")
    job.cluster.api.apply(bare, "gitops")
    job.wait_for("Degraded", "False/Recovered")
    assert job.said("ClusterReady") == "True/WorkersReady"


def test_machines_are_released_after_the_last_stage(jobs: JobsByPhase) -> None:
    made = jobs.make((RUNNING, MEASURING))
    # One driver leaves Ray; the other says that it is done and hangs.
    made[MEASURING].wait(lambda: made[MEASURING].pods("head") == [])
    made[RUNNING].end()
    made[RUNNING].wait_for("Complete", "True/Finished")
    made[RUNNING].wait(lambda: made[RUNNING].pods("head") + made[RUNNING].pods("worker") == [])
    assert made[RUNNING].status()["attempt"] == 1
