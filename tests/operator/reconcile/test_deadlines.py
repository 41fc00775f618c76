"""A job that goes on is looked at when time changes something, and otherwise seldom."""

from dataclasses import replace
from typing import Any

import pytest

from job_world import JobWorld, make_manifest, make_pod, make_report, make_settings
from trimtab_operator.reconcile.deadlines import seconds_to_next_change
from trimtab_operator.reconcile.situation import assess
from trimtab_operator.reconcile.verdict import Phase

SELDOM = make_settings().look_interval


def started(**spec: Any) -> JobWorld:
    """Return a job whose RayJob KubeRay has seen, and whose workers are not there yet."""
    world = JobWorld(make_manifest(**spec))
    world.settle()
    world.set_rayjob(jobDeploymentStatus="Initializing", jobStatus="")
    return world


def due(world: JobWorld) -> float:
    """Return the seconds until the next pass."""
    planned = world.settle()
    assert planned.requeue_after is not None
    return planned.requeue_after


def test_a_job_that_starts_or_runs_is_not_asked_for_again_and_again() -> None:
    world = started(preRunningDeadlineSeconds=3600)
    assert 0.75 * SELDOM <= due(world) <= 1.25 * SELDOM
    world.start()
    world.tell(make_report(stage="search"))
    assert world.settle().verdict.phase is Phase.RUNNING
    world.silent_seconds = world.settings.abandoned_after - 0.001
    assert due(world) <= 0.1
    world.silent_seconds = world.settings.abandoned_after + 1
    assert world.plan().verdict.phase is not Phase.RUNNING


def test_jobs_that_were_made_together_are_not_looked_at_together() -> None:
    world = started(preRunningDeadlineSeconds=3600)
    observed = world.observe()
    found = set()
    for uid in ("one", "two", "three"):
        job = replace(observed.job, meta=replace(observed.job.meta, uid=uid))
        situation = assess(replace(observed, job=job), world.settings)
        found.add(seconds_to_next_change(situation))
    assert len(found) == 3


def test_f46_the_moment_at_which_a_silent_driver_is_called_stalled_is_not_missed() -> None:
    world = started()
    world.start()
    world.silent_seconds = 50.0
    assert due(world) == pytest.approx(world.settings.stalled_after - 50, abs=0.1)
    world.silent_seconds = world.settings.stalled_after
    assert due(world) == pytest.approx(SELDOM, rel=0.3)
    assert world.said("Degraded") == "True/DriverStalled"


def test_the_moment_at_which_kuberay_is_called_absent_is_not_missed() -> None:
    world = JobWorld(make_manifest(preRunningDeadlineSeconds=3600))
    world.settle()
    world.wait(20)
    assert due(world) == pytest.approx(world.settings.kuberay_patience - 20, abs=0.1)
    world.wait(world.settings.kuberay_patience - 20)
    assert due(world) == pytest.approx(SELDOM, rel=0.3)
    assert world.said("Degraded") == "True/KubeRayMissing"


def test_deadlines_of_the_spec_are_not_missed() -> None:
    world = started(preRunningDeadlineSeconds=100, activeDeadlineSeconds=250)
    world.wait(30)
    assert due(world) == pytest.approx(70, abs=0.1)
    world.start()
    world.wait(150)
    assert due(world) == pytest.approx(70, abs=0.1)
    world.wait(70)
    assert world.plan().verdict.phase is not Phase.RUNNING


def test_a_pod_that_cannot_start_is_given_up_when_its_patience_is_over() -> None:
    world = started(preRunningDeadlineSeconds=3600)
    stamp = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp}
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    world.pods = [
        make_pod(
            "a1-head",
            "head",
            1,
            phase="Pending",
            conditions=[placed],
            containerStatuses=[{"name": "ray-head", "state": waiting}],
        )
    ]
    world.wait(10)
    assert due(world) == pytest.approx(world.settings.start_patience - 10, abs=0.1)
    world.wait(world.settings.start_patience - 10)
    assert world.plan().verdict.end is not None


def test_a_job_that_a_queue_holds_waits_for_the_queue() -> None:
    manifest = make_manifest(preRunningDeadlineSeconds=60, activeDeadlineSeconds=60)
    manifest["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team"}
    world = JobWorld(manifest)
    world.step()
    world.rayjob()["spec"]["suspend"] = True
    assert world.settle().verdict.phase is Phase.HELD
    assert due(world) == pytest.approx(SELDOM, rel=0.3)
