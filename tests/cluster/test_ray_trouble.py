"""The operator beside the real KubeRay, while pods, nodes and drivers fail in every way."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.fixtures import NamespaceMaker
from cluster.placed_targets import (
    TARGET,
    assert_unmeasured,
    make_placed_job,
    report_all_candidates,
    report_figures,
)
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay
from cluster.watched_job import WatchedJob, make_job
from operator_process import PATIENT, OperatorProcess, running_operator
from trimtab_api.progress import OutcomeResult
from trimtab_api.v1alpha1.conditions import FailedReason

pytestmark = pytest.mark.cluster_k

GPU = {"limits": {"nvidia.com/gpu": 1, "cpu": 1, "memory": "1Gi"}}
LABEL = "trimtab.dev/simulated"
TRIALS = {"summary": "3/4", "total": 4, "succeeded": 3}

JobMaker = Callable[..., WatchedJob]


@pytest.fixture(scope="module")
def operator(
    kuberay_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    with running_operator(kuberay_server, tmp_path_factory.mktemp("operator"), PATIENT) as operator:
        yield operator
    assert "Traceback" not in operator.read_log()


@pytest.fixture
def create(
    kuberay_server: Cluster,
    operator: OperatorProcess,
    simulated_nodes: SimulatedNodes,
    make_namespace: NamespaceMaker,
) -> JobMaker:
    """Make jobs of two workers with a GPU each."""
    namespace = make_namespace(kuberay_server)

    def make(name: str = "digits", **spec: Any) -> WatchedJob:
        cluster = spec.pop("cluster", {})
        workers = {"resources": GPU, **cluster.get("workers", {})}
        whole = {"device": "cpu", **cluster, "workers": workers}
        return WatchedJob.create(kuberay_server, make_job(namespace, name, cluster=whole, **spec))

    return make


def holds(job: WatchedJob, role: str = "worker") -> Callable[[Manifest], bool]:
    """Choose the pods of a job by their role."""

    def chosen(pod: Manifest) -> bool:
        labels = pod["metadata"].get("labels", {})
        own = labels.get("trimtab.dev/job-uid") == uid
        return own and labels.get("ray.io/node-type") == role

    uid = job.read()["metadata"]["uid"]
    return chosen


def submitters(job: WatchedJob) -> list[Manifest]:
    pods = job.cluster.api.list("Pod", job.namespace, f"trimtab.dev/job={job.name}")
    return [pod for pod in pods if "ray.io/node-type" not in pod["metadata"]["labels"]]


def start(job: WatchedJob, attempt: int = 1) -> None:
    """Wait until an attempt has its workers and its driver."""
    job.wait_for_attempt(attempt)
    job.wait_for("ClusterReady", "True/WorkersReady")
    job.wait(
        lambda: (job.rayjob(attempt) or {}).get("status", {}).get("jobStatus") == "RUNNING",
    )
    job.wait(lambda: len(submitters(job)) == 1)


def wait_for_no_workers(job: WatchedJob) -> None:
    job.wait(lambda: job.pods("worker") == [])


def nowhere(key: str) -> Manifest:
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"}]}]
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }


def test_f30_what_no_node_can_take_is_told_by_the_scheduler_and_mended_by_an_edit(
    create: JobMaker,
) -> None:
    affine = create("affine", cluster={"workers": {"template": {"affinity": nowhere("moon")}}})
    greedy = create(
        "greedy", cluster={"workers": {"resources": {"limits": {"nvidia.com/gpu": 99}}}}
    )
    late = create(
        "late", preRunningDeadlineSeconds=2, cluster={"head": {"nodeSelector": {"a": "b"}}}
    )
    affine.wait_for("Scheduled", "False/Unschedulable")
    assert "didn't match Pod's node affinity/selector" in affine.words("Scheduled")
    greedy.wait_for("Scheduled", "False/Unschedulable")
    assert "Insufficient nvidia.com/gpu" in greedy.words("Scheduled")
    late.wait_for("Failed", "True/PreRunningDeadlineExceeded")
    affine.edit({"cluster": {"workers": {"template": {"affinity": None}}}})
    greedy.edit({"cluster": {"workers": {"resources": GPU}}})
    for job in (affine, greedy):
        job.wait_for_attempt(2)
        job.wait_for("ClusterReady", "True/WorkersReady")
        job.wait_for("Scheduled", "True/PodsScheduled")
        assert job.said("Failed") == ""


UNKNOWN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "priority-class": (
        {"priorityClassName": "royal"},
        {"priorityClassName": None},
        "no PriorityClass with name royal was found",
    ),
    "runtime-class": (
        {"workers": {"template": {"runtimeClassName": "gvisor"}}},
        {"workers": {"template": {"runtimeClassName": None}}},
        'RuntimeClass "gvisor" not found',
    ),
    "service-account": (
        {"serviceAccountName": "nobody"},
        {"serviceAccountName": None},
        'serviceaccount "nobody" not found',
    ),
}


def test_f30_what_the_api_refuses_in_a_pod_is_told_in_its_words(create: JobMaker) -> None:
    jobs = {
        name: create(
            name, cluster={**cluster, "workers": {"replicas": 1, **cluster.get("workers", {})}}
        )
        for name, (cluster, _, _) in UNKNOWN.items()
    }
    for name, job in jobs.items():
        _, mended, words = UNKNOWN[name]
        job.wait_for("Scheduled", "False/PodsRefused")
        assert words in job.words("Scheduled")
        job.edit({"cluster": mended})
        job.wait_for_attempt(2)
        job.wait_for("ClusterReady", "True/WorkersReady")


def test_f33_a_missing_secret_shows_as_what_the_pod_waits_for(
    create: JobMaker, simulated_nodes: SimulatedNodes
) -> None:
    source = {"secretKeyRef": {"name": "token", "key": "token"}}
    job = create(cluster={"env": [{"name": "TOKEN", "valueFrom": source}]})
    simulated_nodes.hold(holds(job), "CreateContainerConfigError", 'secret "token" not found')
    job.wait_for("ClusterReady", "False/PodsWaiting")
    assert 'CreateContainerConfigError: secret "token" not found' in job.words("ClusterReady")
    simulated_nodes.release()
    job.wait_for("ClusterReady", "True/WorkersReady")
    assert job.status()["attempt"] == 1


@pytest.mark.parametrize(
    ("kind", "source"), [("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")]
)
def test_f33_a_key_that_comes_late_into_what_is_there_is_waited_for(
    create: JobMaker,
    operator: OperatorProcess,
    simulated_nodes: SimulatedNodes,
    kind: str,
    source: str,
) -> None:
    reference = {"name": "late", "key": "word"}
    job = create(cluster={"env": [{"name": "WORD", "valueFrom": {source: reference}}]})
    api, is_worker, pid = job.cluster.api, holds(job), operator.pid
    api.create(
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": "late", "namespace": job.namespace},
        }
    )

    def lacks_the_key(pod: Manifest) -> bool:
        return is_worker(pod) and "word" not in api.get(kind, "late", job.namespace).get("data", {})

    words = f"couldn't find key word in {kind} {job.namespace}/late"
    simulated_nodes.hold(lacks_the_key, "CreateContainerConfigError", words)
    job.wait_for("ClusterReady", "False/PodsWaiting")
    assert f"CreateContainerConfigError: {words}" in job.words("ClusterReady")
    rayjob = job.rayjob()
    api.patch(kind, "late", {"data": {"word": "aGVyZQ=="}}, job.namespace)
    job.wait_for("ClusterReady", "True/WorkersReady")
    assert rayjob is not None
    assert (
        api.get("RayJob", "digits-a1", job.namespace)["metadata"]["uid"]
        == rayjob["metadata"]["uid"]
    )
    assert job.status()["attempt"] == 1
    assert operator.pid == pid


IMAGES = {
    "pull": ("ImagePullBackOff", "ImagePullFailed", "ImagePullFailed"),
    "command": ("RunContainerError", "PodsWaiting", "ContainerFailed"),
}


def test_f36_an_image_that_cannot_run_is_named_ends_soon_and_is_mended_by_an_edit(
    create: JobMaker, simulated_nodes: SimulatedNodes
) -> None:
    jobs = {name: create(name, backoffLimit=0, cluster={"image": "t:1"}) for name in IMAGES}
    mended = create("mended", cluster={"image": "t:1"})
    for name, job in jobs.items():
        simulated_nodes.hold(holds(job), IMAGES[name][0], "x" * 1000)
    let_go = simulated_nodes.hold(holds(mended, "head"), "ErrImagePull", "t:1 not found")
    mended.wait_for("ClusterReady", "False/ImagePullFailed")
    assert "ray-head: ErrImagePull: t:1 not found" in mended.words("ClusterReady")
    mended.edit({"cluster": {"image": "t:2"}})
    mended.wait_for_attempt(2)
    let_go()
    mended.wait_for("ClusterReady", "True/WorkersReady")
    for name, job in jobs.items():
        waiting, ready, cause = IMAGES[name]
        job.wait_for("Failed", "True/BackoffLimitExceeded")
        assert job.said("ClusterReady") == f"False/{ready}"
        assert waiting in job.words("ClusterReady")
        assert len(job.words("ClusterReady")) <= 256
        assert f"the last by {cause}" in job.words("Failed")
        wait_for_no_workers(job)


def test_f36_f38_a_driver_that_fails_is_tried_again_unless_the_fault_is_the_users(
    create: JobMaker, simulated_ray: SimulatedRay
) -> None:
    job = create(backoffLimit=1)
    start(job)
    logs = "exit code 1, last available logs:\n" + "\n".join(f"line {n}" for n in range(100))
    simulated_ray.end_job(job.cluster, job.namespace, "digits-a1", status="FAILED", message=logs)
    start(job, 2)
    (event,) = job.events("ClusterFailed")
    assert event.splitlines()[-1] == "line 99"
    assert len(event.splitlines()) <= 6
    assert job.wait_for_events("Retrying")
    job.end(2, result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR, message="no such glob")
    job.wait_for("Failed", "True/UserError")
    assert job.words("Failed") == "no such glob"
    job.wait(lambda: job.rayjob(2) is None)
    assert job.rayjob(3) is None


def test_f36_f38_backoff_limit_ends_a_driver_that_fails_again(
    create: JobMaker, simulated_ray: SimulatedRay
) -> None:
    job = create(backoffLimit=0)
    start(job)
    simulated_ray.end_job(job.cluster, job.namespace, "digits-a1", status="FAILED", message="boom")
    job.wait_for("Failed", "True/BackoffLimitExceeded")
    assert job.said("ClusterReady") == "False/AppFailed"


def test_f38_a_rayjob_that_kuberay_refuses_is_a_failed_attempt(create: JobMaker) -> None:
    """KubeRay checks what it finds at each look, not only what is new."""
    job = create(backoffLimit=1)
    broken = {"spec": {"runtimeEnvYAML": "{"}}
    start(job)
    job.cluster.api.patch("RayJob", "digits-a1", broken, job.namespace)
    start(job, 2)
    assert job.status()["failedAttempts"] == 1
    (event,) = job.wait_for_events("ClusterFailed")
    assert event.startswith("RayJobInvalid: ValidationFailed/ValidationFailed")
    assert "yaml" in event
    job.cluster.api.patch("RayJob", "digits-a2", broken, job.namespace)
    job.wait_for("Failed", "True/BackoffLimitExceeded")
    assert "2 failed attempts, the last by RayJobInvalid" in job.words("Failed")
    assert job.said("ClusterReady") == "False/RayJobInvalid"
    wait_for_no_workers(job)
    assert job.rayjob(3) is None


def test_f38_a_lost_submitter_costs_no_attempt(
    create: JobMaker, simulated_nodes: SimulatedNodes
) -> None:
    job = create(backoffLimit=0)
    start(job)
    (submitter,) = submitters(job)
    job.cluster.api.delete("Pod", submitter["metadata"]["name"], job.namespace)
    start(job, 2)
    (event,) = job.events("ClusterFailed")
    assert event.startswith("SubmitterLost: ")
    assert job.said("Failed") == ""


def test_f39_a_killed_head_costs_no_attempt_and_no_figures(
    create: JobMaker, simulated_nodes: SimulatedNodes
) -> None:
    job = create(backoffLimit=0)
    start(job)
    job.report(sequence=3, trials=TRIALS)
    job.wait(lambda: job.status().get("trials", {}).get("summary") == "3/4")
    (head,) = job.pods("head")
    job.cluster.api.delete("Pod", head["metadata"]["name"], job.namespace, gracePeriodSeconds=0)
    for pod in submitters(job):
        simulated_nodes.fail(pod)  # its connection is broken
    start(job, 2)
    (event,) = job.events("ClusterFailed")
    assert event.startswith("HeadLost: ")
    assert job.status()["trials"]["summary"] == "3/4"
    assert job.said("Failed") == ""


def test_f39_a_lost_node_of_the_head_costs_no_attempt(
    create: JobMaker, simulated_nodes: SimulatedNodes
) -> None:
    simulated_nodes.add("head-1", cpus=200)
    large = {"requests": {"cpu": "100", "memory": "1Gi"}}
    job = create(backoffLimit=0, cluster={"head": {"resources": large}})
    start(job)
    simulated_nodes.add("head-2", cpus=200)
    simulated_nodes.set_ready("head-1", ready=False)
    for pod in submitters(job):
        simulated_nodes.fail(pod)
    start(job, 2)
    assert [pod["spec"]["nodeName"] for pod in job.pods("head")] == ["head-2"]
    (event,) = job.events("ClusterFailed")
    assert event.startswith("HeadLost: ")


def test_f40_a_worker_whose_node_is_lost_or_that_is_evicted_is_replaced_in_the_attempt(
    create: JobMaker, simulated_nodes: SimulatedNodes
) -> None:
    many = {"limits": {"nvidia.com/gpu": 8, "cpu": 1, "memory": "1Gi"}}
    simulated_nodes.add("spot-1", gpus=16)
    job = create(backoffLimit=0, cluster={"workers": {"resources": many}})
    start(job)
    job.wait(lambda: job.status()["cluster"].get("workersReady") == 2)
    simulated_nodes.set_ready("spot-1", ready=False)
    job.wait(lambda: job.status()["cluster"].get("workersReady") == 0)
    simulated_nodes.add("spot-2", gpus=16)
    job.wait(lambda: job.status()["cluster"].get("workersReady") == 2)
    victim = job.pods("worker")[0]["metadata"]
    job.cluster.api.delete("Pod", victim["name"], job.namespace)
    job.wait(lambda: victim["uid"] not in [pod["metadata"]["uid"] for pod in job.pods("worker")])
    job.wait(lambda: job.status()["cluster"].get("workersReady") == 2)
    assert job.status()["attempt"] == 1
    assert job.said("ClusterReady") == "True/WorkersReady"
    assert job.said("Failed") == ""


def test_f79_targets_that_cannot_be_measured_leave_the_others_their_figures(
    create: JobMaker, simulated_nodes: SimulatedNodes, simulated_ray: SimulatedRay
) -> None:
    """One target's node never comes, one is lost, one target's pod fails, one is measured."""
    simulated_nodes.add("board", cpus=200)
    large = {"limits": {"cpu": 100, "memory": "1Gi"}}
    targets: list[dict[str, Any]] = [
        {"name": "never", "nodeSelector": {"board": "moon"}},
        {"name": "lost", "nodeSelector": {LABEL: "true"}, "resources": large},
        {"name": "failing", "nodeSelector": {LABEL: "true"}},
        {"name": TARGET, "nodeSelector": {LABEL: "true"}},
    ]
    spec = make_placed_job("", targets)["spec"]
    spec["stages"]["benchmark"] = {"timeoutSeconds": 30}
    job = create(**spec)
    start(job)
    report_all_candidates(job)
    simulated_ray.end_job(job.cluster, job.namespace, "digits-a1")

    def find_pods(target: str) -> list[Manifest]:
        labels = f"trimtab.dev/job={job.name},trimtab.dev/target={target}"
        return job.cluster.api.list("Pod", job.namespace, labels)

    job.wait(lambda: all(find_pods(target["name"]) for target in targets))
    job.wait_for("Scheduled", "False/Unschedulable")
    assert "didn't match Pod's node affinity/selector" in job.words("Scheduled")
    job.wait(lambda: "nodeName" in find_pods("lost")[0]["spec"])
    simulated_nodes.set_ready("board", ready=False)
    simulated_nodes.fail(find_pods("failing")[0])
    report_figures(job)
    simulated_nodes.finish(find_pods(TARGET)[0])
    job.wait_for("Complete", "True/Finished")
    assert_unmeasured(job, "never", "lost", "failing")
