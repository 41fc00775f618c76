"""Every combination of KubeRay's words maps to one of ours, and says whether the attempt counts."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from job_world import JobWorld, make_manifest, make_pod
from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_operator.reconcile.attempts import EndCause
from trimtab_operator.reconcile.failures import (
    KNOWN_DEPLOYMENTS,
    classify_end,
    classify_outcome,
    is_over,
    quote_rayjob,
)
from trimtab_operator.reconcile.observed import PodView, RayJobView
from trimtab_operator.reconcile.views import read_pod, read_rayjob

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
REASONS = [
    "",
    "SubmissionFailed",
    "DeadlineExceeded",
    "PreRunningDeadlineExceeded",
    "AppFailed",
    "JobDeploymentStatusTransitionGracePeriodExceeded",
    "ValidationFailed",
    "SomethingNew",
]
JOB_STATUSES = ["", "PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED", "NEW"]


def make_rayjob(**status: Any) -> RayJobView:
    return read_rayjob(
        {"metadata": {"labels": {"trimtab.dev/attempt": "1"}}, "spec": {}, "status": status}
    )


def make_head(created: str = "2026-11-24T11:00:00Z", **status: Any) -> PodView:
    pod = make_pod("head", "head", 1, **status)
    pod["metadata"]["creationTimestamp"] = created
    return read_pod(pod)


def make_submitter(phase: str = "Failed") -> PodView:
    return read_pod(make_pod("submitter", "submitter", 1, phase=phase))


@pytest.mark.parametrize("deployment", sorted(KNOWN_DEPLOYMENTS | {"Novel"}))
def test_f38_the_table_is_total(deployment: str) -> None:
    for reason, job in itertools.product(REASONS, JOB_STATUSES):
        rayjob = make_rayjob(jobDeploymentStatus=deployment, reason=reason, jobStatus=job)
        end = classify_end(rayjob, (), NOW)
        assert (end is not None) == is_over(rayjob)
        if end is not None:
            assert reason in end.message
            assert (end.failure is None) == (end.cause is not EndCause.DEADLINE)


@pytest.mark.parametrize(
    ("deployment", "reason", "job", "cause"),
    [
        ("ValidationFailed", "", "", EndCause.RAY_JOB_INVALID),
        ("Failed", "ValidationFailed", "", EndCause.RAY_JOB_INVALID),
        ("Failed", "AppFailed", "FAILED", EndCause.APP_FAILED),
        ("Failed", "AppFailed", "RUNNING", EndCause.HEAD_LOST),
        ("Failed", "SubmissionFailed", "", EndCause.SUBMISSION_FAILED),
        ("Failed", "SubmissionFailed", "RUNNING", EndCause.SUBMITTER_LOST),
        ("Failed", "SubmissionFailed", "FAILED", EndCause.APP_FAILED),
        ("Complete", "", "SUCCEEDED", EndCause.APP_FAILED),
        ("Complete", "", "STOPPED", EndCause.STOPPED),
        ("Failed", "DeadlineExceeded", "RUNNING", EndCause.DEADLINE),
        (
            "Failed",
            "JobDeploymentStatusTransitionGracePeriodExceeded",
            "RUNNING",
            EndCause.SUBMISSION_FAILED,
        ),
        ("Failed", "SomethingNew", "RUNNING", EndCause.STATUS_UNKNOWN),
        ("Complete", "", "NEW", EndCause.STATUS_UNKNOWN),
    ],
)
def test_f38_known_words_have_one_meaning(
    deployment: str, reason: str, job: str, cause: EndCause
) -> None:
    rayjob = make_rayjob(jobDeploymentStatus=deployment, reason=reason, jobStatus=job)
    end = classify_end(rayjob, (), NOW)
    assert end is not None
    assert end.cause is cause


LOST_SIGHT = {
    "jobDeploymentStatus": "Failed",
    "reason": "SubmissionFailed",
    "jobStatus": "RUNNING",
    "rayJobInfo": {"startTime": "2026-11-24T11:30:00Z"},
}


@pytest.mark.parametrize(
    ("pods", "cause"),
    [
        pytest.param((make_head("2026-11-24T11:50:00Z"),), EndCause.HEAD_LOST, id="a new head"),
        pytest.param((make_submitter(),), EndCause.HEAD_LOST, id="no head, a broken submitter"),
        pytest.param(
            (make_head(containerStatuses=[{"restartCount": 1}]),),
            EndCause.HEAD_CRASHED,
            id="a head that restarted in place",
        ),
        pytest.param((make_head(),), EndCause.SUBMITTER_LOST, id="the same head, no submitter"),
    ],
)
def test_f38_a_lost_head_is_told_from_a_lost_submitter(
    pods: tuple[PodView, ...], cause: EndCause
) -> None:
    end = classify_end(make_rayjob(**LOST_SIGHT), pods, NOW)
    assert end is not None
    assert end.cause is cause


def test_lost_pods_cost_no_attempt_and_crashes_do() -> None:
    assert not EndCause.HEAD_LOST.counts
    assert not EndCause.SUBMITTER_LOST.counts
    assert EndCause.HEAD_CRASHED.counts
    assert EndCause.APP_FAILED.counts
    assert not EndCause.EVICTED.counts


def test_the_users_logs_stay_out_of_the_message() -> None:
    rayjob = make_rayjob(
        jobDeploymentStatus="Failed",
        reason="AppFailed",
        jobStatus="FAILED",
        message="Job entrypoint command failed with exit code 1, last logs:\nTraceback: secret",
    )
    quoted = quote_rayjob(rayjob)
    assert "exit code 1" in quoted
    assert "secret" not in quoted


def test_a_long_message_is_cut() -> None:
    rayjob = make_rayjob(jobDeploymentStatus="Failed", message="x" * 5000)
    assert len(quote_rayjob(rayjob)) == 256


@pytest.mark.parametrize(
    ("outcome", "cause", "failure"),
    [
        (Outcome(result=OutcomeResult.SUCCEEDED), EndCause.FINISHED, None),
        (Outcome(result=OutcomeResult.STOPPED), EndCause.STOPPED, None),
        (Outcome(result=OutcomeResult.FAILED), EndCause.APP_FAILED, None),
        (
            Outcome(result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR),
            EndCause.JOB_FAILED,
            FailedReason.USER_ERROR,
        ),
        # The operator alone decides when there were enough attempts.
        (
            Outcome(result=OutcomeResult.FAILED, reason=FailedReason.BACKOFF_LIMIT_EXCEEDED),
            EndCause.APP_FAILED,
            None,
        ),
    ],
)
def test_f36_the_outcome_tells_a_users_error_from_a_crash(
    outcome: Outcome, cause: EndCause, failure: FailedReason | None
) -> None:
    end = classify_outcome(outcome, NOW)
    assert (end.cause, end.failure) == (cause, failure)


def test_f38_a_rayjob_that_kuberay_refuses_after_its_start_holds_no_machines() -> None:
    world = JobWorld(make_manifest(backoffLimit=0))
    world.settle()
    world.start()
    world.settle()
    world.set_rayjob(1, jobDeploymentStatus="ValidationFailed", reason="ValidationFailed")
    world.settle()
    assert world.said("Failed") == "True/BackoffLimitExceeded"
    assert world.said("ClusterReady") == "False/RayJobInvalid"
    assert world.names("RayJob") == []


def wait_for_image(world: JobWorld, reason: str, attempt: int = 1) -> None:
    """Let a worker be placed and not start."""
    placed = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    world.set_rayjob(attempt, jobDeploymentStatus="Initializing")
    world.pods = [
        make_pod(
            f"a{attempt}-w0",
            "worker",
            attempt,
            phase="Pending",
            conditions=[{"type": "PodScheduled", "status": "True", "lastTransitionTime": placed}],
            containerStatuses=[
                {"name": "ray-worker", "state": {"waiting": {"reason": reason, "message": "no"}}}
            ],
        )
    ]
    world.settle()


@pytest.mark.parametrize(
    ("waiting", "cause", "ready"),
    [
        ("ImagePullBackOff", "ImagePullFailed", "ImagePullFailed"),
        ("RunContainerError", "ContainerFailed", "PodsWaiting"),
    ],
)
def test_f36_an_image_that_never_runs_ends_the_attempt_long_before_its_deadline(
    waiting: str, cause: str, ready: str
) -> None:
    world = JobWorld(make_manifest(backoffLimit=0))
    world.settle()
    wait_for_image(world, waiting)
    assert world.said("ClusterReady") == f"False/{ready}"
    world.wait(119)
    world.settle()
    assert world.said("Failed") is None
    world.wait(2)
    world.settle()
    assert world.said("Failed") == "True/BackoffLimitExceeded"
    assert f"the last by {cause}: a1-w0/ray-worker: {waiting}: no" in world.words("Failed")
    assert world.said("ClusterReady") == f"False/{ready}"


def test_f36_another_image_starts_a_new_attempt_without_a_pause() -> None:
    world = JobWorld(make_manifest(backoffLimit=1))
    world.settle()
    wait_for_image(world, "ErrImagePull")
    world.wait(121)
    world.step()
    world.pods = []
    world.edit(cluster={"image": "team/trainer:2"})
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]


def test_f33_a_secret_that_is_missing_is_waited_for() -> None:
    world = JobWorld()
    world.settle()
    wait_for_image(world, "CreateContainerConfigError")
    world.wait(1000)
    world.settle()
    assert world.said("ClusterReady") == "False/PodsWaiting"
    assert world.names("RayJob") == ["digits-a1"]
