"""On a real node a driver that nobody owns any more writes nothing once the next attempt has begun."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.claims import make_claim
from cluster.fixtures import NamespaceMaker
from cluster.installation import configure_operator
from cluster.kuberay import stopped_kuberay
from cluster.node_jobs import DRIVER, TRIAL, NodeJob, make_slow_job
from cluster.processes import wait_until

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(900)]

FINALIZER = "ray.io/rayjob-finalizer"
MANY = 60
"""Trials of ten seconds each: more than the first attempt can finish before the second begins."""


@pytest.fixture
def hasty_operator(node_operator: Cluster) -> Iterator[Cluster]:
    """An operator that waits for pods of an ended attempt for seconds, not for a minute."""
    configure_operator(node_operator, TIME_FACTOR="0.2")
    yield node_operator
    configure_operator(node_operator, TIME_FACTOR="1")


def orphan(job: NodeJob, rayjob: str) -> None:
    """Take the RayJob away from a cluster that goes on, as where KubeRay cannot reach the head."""
    api, namespace = job.cluster.api, job.namespace
    with stopped_kuberay(job.cluster):
        api.delete("RayJob", rayjob, namespace, propagationPolicy="Orphan")

        def is_orphaned() -> bool:
            kept = api.get("RayJob", rayjob, namespace)["metadata"]["finalizers"]
            return bool(kept == [FINALIZER])

        assert wait_until(is_orphaned, 60)
        api.patch("RayJob", rayjob, {"metadata": {"finalizers": []}}, namespace)
        assert wait_until(lambda: api.find("RayJob", rayjob, namespace) is None, 60)


def read_files(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_f42_a_driver_that_lives_on_beside_the_next_attempt_is_kept_out(
    hasty_operator: Cluster, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(hasty_operator)
    claim = make_claim(hasty_operator, namespace, "runs")
    manifest = make_slow_job("twice")
    manifest["spec"]["stages"]["search"]["numTrials"] = MANY
    job = NodeJob.apply(hasty_operator, namespace, manifest)
    job.wait(lambda: job.is_training(1, epoch=4), "training of trial 1")
    head, worker = (pod["metadata"]["name"] for pod in job.pods("head") + job.pods("worker"))

    def is_driving() -> bool:
        return bool(job.list_processes(head, DRIVER))

    assert job.list_processes(worker, TRIAL)
    orphan(job, "twice-a1")
    job.wait(lambda: job.status().get("attempt") == 2, "second attempt")
    assert is_driving()
    job.wait(lambda: job.progress().get("attempt") == 2, "report of the second attempt")
    assert wait_until(lambda: not is_driving() and not job.list_processes(worker, TRIAL), 60)
    assert "outcome" not in job.progress()
    if claim is not None:
        root = claim / "all" / namespace / "twice" / job.read()["metadata"]["uid"]
        left = read_files(root / "a1")
        assert json.loads((root / "fence").read_text()) == {"attempt": 2}

    # The second one has enough: it only has to finish.
    done = job.progress()["trials"]["succeeded"]
    search = {"stages": {"search": {"numTrials": max(done, 3)}}}
    hasty_operator.api.patch("OptimizationJob", "twice", {"spec": search}, namespace)
    status = job.wait_for_end()
    assert (status["attempt"], status["trials"]["failed"]) == (2, 0)
    if claim is not None:
        before, after = job.read_trials(claim, 1), job.read_trials(claim, 2)
        taken = [trial for trial in after if trial["attempt"] == 1]
        assert taken
        assert taken == before[: len(taken)]
        numbers = [trial["number"] for trial in after]
        assert len(numbers) == len(set(numbers)) >= 3
        assert read_files(root / "a1") == left
        assert not (root / "a1" / "artifacts" / "manifest.json").exists()
        assert (root / "a2" / "artifacts" / "manifest.json").exists()
    for cluster in hasty_operator.api.list("RayCluster", namespace):
        hasty_operator.api.delete("RayCluster", cluster["metadata"]["name"], namespace)
