"""On a real node a job outlives the loss of its pods and a driver that hangs, and fails fast where it must."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.claims import make_claim
from cluster.installation import configure_operator
from cluster.node_jobs import DRIVER, NodeJob, make_slow_job
from cluster.processes import wait_until

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(1500)]

NAMESPACE = "faults"
FAST = "0.2"
"""A driver is called stalled after 24 s, since it tells that it lives every 15, and given up after 120."""


@dataclass(frozen=True)
class Field:
    """Where the jobs of this file run, and the folder behind their claim."""

    cluster: Cluster
    claim: Path | None

    def apply(self, manifest: Manifest) -> NodeJob:
        return NodeJob.apply(self.cluster, NAMESPACE, manifest)


@pytest.fixture(scope="module")
def field(node_operator: Cluster) -> Iterator[Field]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": NAMESPACE, "labels": labels}
    node_operator.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield Field(node_operator, make_claim(node_operator, NAMESPACE, "runs"))
    node_operator.api.delete_all("OptimizationJob", NAMESPACE)
    node_operator.api.delete("Namespace", NAMESPACE)


@contextmanager
def hasty_operator(cluster: Cluster) -> Iterator[None]:
    """Keep the operator impatient: of what does not start, too, so few things may start meanwhile."""
    configure_operator(cluster, TIME_FACTOR=FAST)
    try:
        yield
    finally:
        configure_operator(cluster, TIME_FACTOR="1")


@pytest.fixture(scope="module")
def jobs(field: Field) -> dict[str, NodeJob]:
    """Jobs to each of which something happened in the middle of its search.

    They follow each other, since the start of Ray takes the cores, and Ray gives up to start where
    too many do at once. One starts while another's driver is silent.
    """
    head = kill_the_head(field)
    with hasty_operator(field.cluster):
        silent = stop_the_driver(field)
        worker = kill_the_worker(field)
        silent.wait(lambda: silent.status().get("attempt") == 2, "second attempt")
        silent.wait_for("ClusterReady", "True", "WorkersReady")
    return {job.name: job for job in (head, silent, worker)}


def stop_the_driver(field: Field) -> NodeJob:
    job = field.apply(make_slow_job("silent"))
    job.wait(lambda: job.is_training(0, epoch=4), "training of trial 0")
    (head,) = job.pods("head")
    (driver,) = job.list_processes(head["metadata"]["name"], DRIVER)
    stop = f"import os, signal; os.kill({driver}, signal.SIGSTOP)"
    job.kubectl("exec", head["metadata"]["name"], "--", "python", "-c", stop)
    return job


def kill_the_head(field: Field) -> NodeJob:
    job = field.apply(make_head_job())
    job.wait(lambda: job.is_training(1, epoch=4), "training of trial 1")
    job.kill_pod("head")
    job.wait_for("ClusterReady", "False", "HeadLost")
    job.wait_for("ClusterReady", "True", "WorkersReady")
    return job


def make_head_job() -> Manifest:
    """Return a job with a target for which there is no node."""
    nowhere = {"name": "nowhere", "profile": "cpu-edge", "nodeSelector": {"trimtab.dev/no": "node"}}
    manifest = make_slow_job("head", targets=[{"name": "host", "threads": 1}, nowhere])
    manifest["spec"]["stages"]["benchmark"]["timeoutSeconds"] = 20
    return manifest


def kill_the_worker(field: Field) -> NodeJob:
    """Kill it after its report was deleted."""
    manifest = make_slow_job("worker")
    # It is killed a report and some seconds after the epoch that is waited for.
    manifest["spec"]["model"]["args"]["seconds"] = 0.5
    job = field.apply(manifest)
    job.wait(lambda: job.is_training(0, epoch=4), "training of trial 0")
    sequence = job.progress()["sequence"]
    field.cluster.api.delete("ConfigMap", "worker-progress", NAMESPACE)
    job.wait(lambda: job.progress().get("sequence", 0) > sequence, "report after its deletion")
    job.wait(lambda: job.is_training(1, epoch=12), "training of trial 1")
    job.kill_pod("worker")
    return job


def read_trials(field: Field, job: NodeJob, attempt: int) -> list[Manifest]:
    return job.read_trials(field.claim, attempt) if field.claim else []


def check_trials(field: Field, job: NodeJob) -> None:
    status = job.status()
    assert (status["trials"]["succeeded"], status["trials"]["failed"]) == (3, 0)
    if field.claim is not None:
        trials = read_trials(field, job, status["attempt"])
        assert sorted(trial["number"] for trial in trials) == [0, 1, 2]
        for trial in trials:
            assert [entry["epoch"] for entry in trial["intermediate"]] == list(range(1, 41))


def test_f40_f46_a_trial_outlives_its_worker_and_reports_go_on_when_they_are_deleted(
    field: Field, jobs: dict[str, NodeJob]
) -> None:
    job = jobs["worker"]
    status = job.wait_for_end()
    assert status["attempt"] == 1
    check_trials(field, job)
    assert "ChildRestored" in job.events()
    if field.claim is not None:
        _, second, _ = read_trials(field, job, 1)
        assert [retry["class"] for retry in second["retries"]] in (["NodeLost"], ["Preempted"])


def test_f39_f79_what_is_finished_outlives_the_head_and_a_node_that_never_comes_fails_nothing(
    field: Field, jobs: dict[str, NodeJob]
) -> None:
    job = jobs["head"]
    status = job.wait_for_end()
    assert status["attempt"] == 2
    assert not status.get("failedAttempts")
    check_trials(field, job)
    if field.claim is not None:
        before, after = read_trials(field, job, 1), read_trials(field, job, 2)
        assert before
        assert after[: len(before)] == before
        assert {trial["attempt"] for trial in after[len(before) :]} == {2}
    host, nowhere = status["targets"]
    assert (host["state"], nowhere["state"]) == ("Measured", "Unmeasured")
    job.wait_for_event("TargetUnmeasured")


def test_f47_a_driver_that_hangs_is_told_of_and_replaced(
    field: Field, jobs: dict[str, NodeJob]
) -> None:
    job = jobs["silent"]
    status = job.wait_for_end()
    assert (status["attempt"], status["failedAttempts"]) == (2, 1)
    assert "Retrying" in job.events()
    assert job.conditions()["Degraded"] == ("False", "Recovered")
    check_trials(field, job)


def test_f41_a_trial_that_takes_all_memory_of_its_pod_fails_alone_and_says_how_much(
    field: Field,
) -> None:
    manifest = make_slow_job("hungry")
    # So slowly that Ray looks while there is less left than Ray wants, and still more than nothing.
    manifest["spec"]["model"]["args"]["seconds"] = 0.5
    leak = {"name": "model.args.megabytes", "searchSpace": {"categorical": {"choices": [0, 100]}}}
    search = {"algorithm": {"grid": {}}, "parallelTrials": 1, "parameters": [leak]}
    manifest["spec"]["stages"]["search"] = search
    job = field.apply(manifest)
    status = job.wait_for_end()
    assert (status["attempt"], status["trials"]["succeeded"]) == (1, 1)
    (failure,) = status["failures"]
    assert failure["class"] == "OOM"
    assert re.search(r"[\d.]+GB used / 3[.\d]*GB limit", failure["lastMessage"])


def test_f36_an_entry_point_that_is_missing_fails_the_job_at_once(field: Field) -> None:
    job = field.apply(make_slow_job("missing", entrypoint="no_such_module:build"))
    job.wait(lambda: "completionTime" in job.status(), "end")
    status = job.status()
    assert job.conditions()["Failed"] == ("True", "UserError")
    assert "no_such_module" in status["message"]
    assert status["attempt"] == 1
    job.wait_for_event("Failed")
    assert "Retrying" not in job.events()


def make_with(name: str, **cluster: Any) -> Manifest:
    manifest = make_slow_job(name)
    manifest["spec"]["cluster"] |= cluster
    return manifest


def read_words(job: NodeJob, kind: str) -> str:
    entries = job.status()["conditions"]
    return str(next(entry["message"] for entry in entries if entry["type"] == kind))


def test_f36_an_image_that_cannot_be_pulled_is_named_and_ends_the_job(field: Field) -> None:
    manifest = make_with("unpulled", image="trimtab.test/absent:1")
    manifest["spec"]["backoffLimit"] = 0
    with hasty_operator(field.cluster):
        job = field.apply(manifest)
        job.wait_for("ClusterReady", "False", "ImagePullFailed")
        assert "trimtab.test/absent:1" in read_words(job, "ClusterReady")
        job.wait(lambda: "completionTime" in job.status(), "end")
    assert job.conditions()["Failed"] == ("True", "BackoffLimitExceeded")
    assert "ImagePullFailed" in read_words(job, "Failed")
    assert wait_until(lambda: not job.pods("head") + job.pods("worker"), 60)


def test_f33_a_secret_that_comes_late_is_waited_for(field: Field) -> None:
    reference = {"secretKeyRef": {"name": "late", "key": "word"}}
    job = field.apply(make_with("waiting", env=[{"name": "WORD", "valueFrom": reference}]))
    job.wait_for("ClusterReady", "False", "PodsWaiting")
    assert 'secret "late" not found' in read_words(job, "ClusterReady")
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"word": "here"}}
    field.cluster.api.create({**secret, "metadata": {"name": "late", "namespace": NAMESPACE}})
    job.wait_for("ClusterReady", "True", "WorkersReady")
    assert job.status()["attempt"] == 1
    job.kubectl("delete", "optimizationjobs.trimtab.dev", job.name)
