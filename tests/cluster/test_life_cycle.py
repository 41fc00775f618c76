"""A job on a real API server from queue to end, and again: what others want of it is followed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.played_queue import QUEUE_LABEL, PlayedQueue
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from operator_process import OperatorProcess

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 60.0
TRIALS = {"summary": "3/4", "total": 4, "succeeded": 3}


@pytest.fixture
def namespace(
    ray_api_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> str:
    return make_namespace(ray_api_server)


@pytest.fixture
def job(ray_api_server: Cluster, namespace: str) -> WatchedJob:
    """A job whose driver has finished three of four trials."""
    job = WatchedJob.create(ray_api_server, make_job(namespace))
    job.wait_for_attempt(1)
    run(job)
    return job


def run(job: WatchedJob, attempt: int = 1) -> None:
    """Let the driver of an attempt run and report."""
    job.play_start(attempt)
    job.report(attempt, trials=TRIALS)
    job.wait_for("ClusterReady", "True/WorkersReady")


def finish(job: WatchedJob, attempt: int = 1) -> None:
    """Let the driver of an attempt end with a result."""
    job.end(attempt, trials={**TRIALS, "succeeded": 4})
    job.play(attempt, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    job.wait_for("Complete", "True/Finished")


def read_control(job: WatchedJob) -> dict[str, Any]:
    """Return what the driver is told."""
    config = job.cluster.api.get("ConfigMap", f"{job.name}-progress", job.namespace)
    return dict(json.loads(config["data"]["control.json"]))


def test_f21_a_job_under_a_known_name_starts_over_in_a_folder_of_its_own(job: WatchedJob) -> None:
    finish(job)
    old = job.read()
    left = job.children()
    job.cluster.api.delete("OptimizationJob", job.name, job.namespace)
    again = WatchedJob.create(job.cluster, make_job(job.namespace))
    # What is left of the old job is neither adopted nor deleted.
    again.wait_for("Degraded", "True/NameConflict")
    assert again.children().keys() == left.keys()
    for kind, name in left:  # the garbage collector comes
        job.cluster.api.delete(kind, name, job.namespace)
    again.wait_for_attempt(1)
    new = again.read()
    uid = new["metadata"]["uid"]
    assert uid != old["metadata"]["uid"]
    assert new["status"]["storage"] == f"s3://runs/all/{job.namespace}/{job.name}/{uid}/a1"
    rayjob = again.rayjob()
    assert rayjob is not None
    assert old["metadata"]["uid"] not in json.dumps(rayjob["spec"])
    # The old driver may still be there, and its words count for nothing.
    again.report(9, uid=old["metadata"]["uid"], sequence=99, trials=TRIALS)
    again.wait(lambda: bool(again.events("ReportStale")))
    assert again.status()["trials"]["succeeded"] == 0


@pytest.fixture
def queue(ray_api_server: Cluster) -> Iterator[PlayedQueue]:
    with PlayedQueue(ray_api_server) as queue:
        yield queue


def test_f25_a_queue_holds_lets_in_and_takes_back_at_no_cost(
    ray_api_server: Cluster, namespace: str, queue: PlayedQueue
) -> None:
    manifest = make_job(namespace, backoffLimit=0)
    manifest["metadata"]["labels"] = {QUEUE_LABEL: "team-a"}
    job = WatchedJob.create(ray_api_server, manifest)
    job.wait_for("Queued", "True/WaitingForQuota")
    assert job.said("Suspended") == "True/SuspendedByQueue"
    assert job.status()["state"] == "Queued"
    queue.let_in(namespace, "digits-a1")
    run(job)
    assert job.said("Queued") == "False/Admitted"
    queue.evict(namespace, "digits-a1")
    job.wait_for_attempt(2)
    job.wait_for("Queued", "True/WaitingForQuota")
    job.wait(lambda: job.rayjob(1) is None)
    # A hand that takes something away makes us write, but not to the field of the queue.
    changes = {"spec": {"shutdownAfterJobFinishes": None}}
    job.cluster.api.patch("RayJob", "digits-a2", changes, namespace)
    job.wait(lambda: bool(job.events("ChildRestored")))
    assert job.said("Queued") == "True/WaitingForQuota"
    queue.let_in(namespace, "digits-a2")
    run(job, 2)
    assert job.said("Queued") == "False/Admitted"
    assert job.said("Failed") == ""
    assert "failedAttempts" not in job.status()
    assert job.status()["trials"]["succeeded"] == 3


def test_f26_edits_of_the_search_reach_the_running_driver(job: WatchedJob) -> None:
    rayjob = job.rayjob()
    assert rayjob is not None
    # Fewer than are done, then more than at the start; slots likewise.
    for trials, slots in ((2, 1), (40, 8)):
        job.edit({"stages": {"search": {"numTrials": trials, "parallelTrials": slots}}})
        wanted = {"numTrials": trials, "parallelTrials": slots}
        job.wait(lambda wanted=wanted: wanted.items() <= read_control(job).items())
    assert not read_control(job)["stop"]
    after = job.rayjob()
    assert after is not None
    assert after["metadata"]["generation"] == rayjob["metadata"]["generation"]
    assert job.events("ChildRestored") == []


def test_f26_more_trials_go_on_with_a_finished_study(job: WatchedJob) -> None:
    finish(job)
    job.edit({"stages": {"search": {"numTrials": 3}}})
    job.wait(lambda: job.status()["observedGeneration"] == 2)
    assert job.said("Complete") == "True/Finished"
    job.edit({"stages": {"search": {"numTrials": 8}}})
    job.wait_for("Complete", "False/StudyExtended")
    job.wait_for_attempt(2)
    assert read_control(job)["numTrials"] == 8
    job.wait(lambda: bool(job.events("StudyExtended")))
    assert "completionTime" not in job.status()
    run(job, 2)
    finish(job, 2)
    assert job.status()["attempt"] == 2


def test_f27_a_job_whose_time_passes_without_an_operator_is_deleted_afterwards(
    job: WatchedJob, operator: OperatorProcess
) -> None:
    finish(job)
    assert operator.stop() == 0
    job.edit({"ttlSecondsAfterFinished": 1})
    ended = datetime.fromisoformat(job.status()["completionTime"])
    assert wait_until(lambda: datetime.now(UTC) > ended + timedelta(seconds=2), SECONDS)
    assert job.read()["spec"]["ttlSecondsAfterFinished"] == 1
    operator.start()
    api = job.cluster.api
    assert wait_until(lambda: api.find("OptimizationJob", job.name, job.namespace) is None, SECONDS)


@pytest.mark.parametrize("reason", ["StorageUnreachable", "StorageFull"])
def test_f52_f58_trouble_with_storage_is_shown_until_the_driver_is_over_it(
    job: WatchedJob, reason: str
) -> None:
    rayjob = job.rayjob()
    assert rayjob is not None
    problem = {"reason": reason, "message": "records of 2 trials wait: No space left"}
    job.report(sequence=2, trials=TRIALS, problem=problem)
    job.wait_for("Degraded", f"True/{reason}")
    assert job.words("Degraded") == problem["message"]
    assert job.said("ClusterReady") == "True/WorkersReady"
    job.wait(lambda: any(reason in text for text in job.events("Degraded")))
    job.report(sequence=3, trials={**TRIALS, "succeeded": 4})
    job.wait_for("Degraded", "False/Recovered")
    job.wait(lambda: job.status()["trials"]["succeeded"] == 4)
    assert job.status()["attempt"] == 1
    after = job.rayjob()
    assert after is not None
    assert after["metadata"]["uid"] == rayjob["metadata"]["uid"]
