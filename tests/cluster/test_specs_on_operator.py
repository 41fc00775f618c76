"""The operator process and specs that cannot work: each is named, and mending it is enough."""

from typing import Any

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.placed_targets import (
    TARGET,
    assert_unmeasured,
    fail_target_job,
    make_placed_job,
    report_all_candidates,
    report_figures,
)
from cluster.watched_job import WatchedJob, make_job
from operator_process import OperatorProcess

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]


@pytest.fixture
def namespace(
    ray_api_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> str:
    return make_namespace(ray_api_server)


FORBIDDEN_KEYS: dict[str, Any] = {
    "serviceAccountName": "admin",
    "automountServiceAccountToken": True,
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "securityContext": {"runAsUser": 0},
    "initContainers": [],
    "nodeName": "gpu-1",
}


@pytest.mark.parametrize("group", ["head", "workers"])
def test_f35_a_key_that_a_template_may_not_have_is_named(
    ray_api_server: Cluster, namespace: str, group: str
) -> None:
    template = {**FORBIDDEN_KEYS, "volumes": [{"name": "root", "hostPath": {"path": "/"}}]}
    jobs = {
        key: WatchedJob.create(
            ray_api_server,
            make_job(
                namespace,
                f"{group}-{number}",
                cluster={"device": "cpu", group: {"template": {key: value}}},
            ),
        )
        for number, (key, value) in enumerate(template.items())
    }
    for key, job in jobs.items():
        job.wait_for("Accepted", "False/InvalidSpec")
        named = "hostPath" if key == "volumes" else key
        assert named in job.words("Accepted")
        assert f"spec.cluster.{group}.template" in job.words("Accepted")
        assert job.children() == {}
        assert len(job.wait_for_events("InvalidSpec")) == 1


def test_f35_a_template_that_is_mended_starts_the_job(
    ray_api_server: Cluster, namespace: str
) -> None:
    cluster = {"device": "cpu", "head": {"template": {"hostPID": True}}}
    job = WatchedJob.create(ray_api_server, make_job(namespace, cluster=cluster))
    job.wait_for("Accepted", "False/InvalidSpec")
    job.edit({"cluster": {"head": {"template": {"hostPID": None}}}})
    job.wait_for_attempt(1)
    assert job.said("Accepted") == "True/SpecAccepted"


def test_f35_an_invalid_edit_leaves_the_attempt_that_runs_alone(
    ray_api_server: Cluster, namespace: str
) -> None:
    job = WatchedJob.create(ray_api_server, make_job(namespace))
    job.wait_for_attempt(1)
    before = job.rayjob()
    job.play_start()
    job.edit({"cluster": {"workers": {"template": {"hostNetwork": True}}}})
    job.wait_for("Accepted", "False/InvalidSpec")
    after = job.rayjob()
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]


def test_f33_a_claim_that_is_missing_is_named_and_its_arrival_starts_the_job(
    ray_api_server: Cluster, namespace: str
) -> None:
    job = WatchedJob.create(
        ray_api_server, make_job(namespace, storage={"uri": "pvc://results/runs"})
    )
    job.wait_for("Accepted", "False/ClaimNotFound")
    assert f"no PersistentVolumeClaim results in namespace {namespace}" in job.words("Accepted")
    assert job.children() == {}
    ray_api_server.api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "results", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    job.wait_for_attempt(1)
    assert job.said("Accepted") == "True/SpecAccepted"


def test_f30_what_the_api_server_refuses_is_told_in_its_words_until_it_is_mended(
    ray_api_server: Cluster, namespace: str
) -> None:
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": 5}}
    cluster = {"device": "cpu", "workers": {"template": {"affinity": affinity}}}
    job = WatchedJob.create(ray_api_server, make_job(namespace, cluster=cluster))
    job.wait_for("Scheduled", "False/PodsRefused")
    assert "patch rayjobs.ray.io" in job.words("Scheduled")
    assert "requiredDuringSchedulingIgnoredDuringExecution" in job.words("Scheduled")
    assert "attempt" not in job.status()
    assert job.said("Degraded") == ""
    assert job.rayjob() is None
    assert len(job.wait_for_events("InvalidSpec")) == 1
    job.edit({"cluster": {"workers": {"template": {"affinity": None}}}})
    job.wait_for_attempt(1)
    job.wait_for("Scheduled", "False/PodsPending")


def test_f30_an_attempt_whose_workers_never_come_ends_at_its_deadline(
    ray_api_server: Cluster, namespace: str
) -> None:
    job = WatchedJob.create(ray_api_server, make_job(namespace, preRunningDeadlineSeconds=2))
    job.wait_for("Failed", "True/PreRunningDeadlineExceeded")
    assert "spec.preRunningDeadlineSeconds" in job.words("Failed")
    job.wait(lambda: job.rayjob() is None)
    job.edit({"preRunningDeadlineSeconds": 1800})
    job.annotate("trimtab.dev/retry", "1")
    job.wait_for_attempt(2)


ENDINGS: dict[str, tuple[dict[str, str], str, str]] = {
    "validation-failed": (
        {"jobDeploymentStatus": "ValidationFailed", "message": "the RayJob is bad"},
        "RayJobInvalid",
        "BackoffLimitExceeded",
    ),
    "submission-failed": (
        {"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed"},
        "SubmissionFailed",
        "BackoffLimitExceeded",
    ),
    "deadline": (
        {"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded", "jobStatus": "RUNNING"},
        "Stopped",
        "DeadlineExceeded",
    ),
    "pre-running-deadline": (
        {"jobDeploymentStatus": "Failed", "reason": "PreRunningDeadlineExceeded"},
        "Stopped",
        "PreRunningDeadlineExceeded",
    ),
    "app-failed": (
        {"jobDeploymentStatus": "Failed", "reason": "AppFailed", "jobStatus": "FAILED"},
        "AppFailed",
        "BackoffLimitExceeded",
    ),
    "grace-period": (
        {
            "jobDeploymentStatus": "Failed",
            "reason": "JobDeploymentStatusTransitionGracePeriodExceeded",
        },
        "SubmissionFailed",
        "BackoffLimitExceeded",
    ),
    "unknown-reason": (
        {"jobDeploymentStatus": "Failed", "reason": "AteByBear", "message": "grr\nlog\nlog"},
        "StatusUnknown",
        "BackoffLimitExceeded",
    ),
}


def test_f38_each_end_that_kuberay_tells_has_a_reason_of_ours(
    ray_api_server: Cluster, namespace: str
) -> None:
    jobs = {
        name: WatchedJob.create(ray_api_server, make_job(namespace, name, backoffLimit=0))
        for name in ENDINGS
    }
    for name, job in jobs.items():
        job.wait_for_attempt(1)
        job.play(**ENDINGS[name][0])
    for name, job in jobs.items():
        told, ready, failed = ENDINGS[name]
        job.wait_for("Failed", f"True/{failed}")
        assert job.said("ClusterReady") == f"False/{ready}", name
        assert told.get("reason", "ValidationFailed") in job.words("ClusterReady")
        assert len(job.wait_for_events("ClusterFailed")) == 1


def test_f38_a_status_that_nobody_knows_is_shown_and_ends_nothing(
    ray_api_server: Cluster, namespace: str
) -> None:
    job = WatchedJob.create(ray_api_server, make_job(namespace))
    job.wait_for_attempt(1)
    job.play(jobDeploymentStatus="Meditating", message="om")
    job.wait_for("ClusterReady", "False/StatusUnknown")
    assert job.words("ClusterReady") == "Meditating: om"
    job.play(jobDeploymentStatus="Initializing", message="")
    job.wait_for("ClusterReady", "False/Provisioning")


TARGETS: list[dict[str, Any]] = [
    {"name": "lost", "nodeSelector": {"kubernetes.io/arch": "riscv"}},
    {"name": TARGET, "nodeSelector": {"kubernetes.io/arch": "arm64"}},
]


def test_f79_a_target_whose_job_fails_is_unmeasured_and_the_others_are_kept(
    ray_api_server: Cluster, namespace: str
) -> None:
    job = WatchedJob.create(ray_api_server, make_placed_job(namespace, TARGETS))
    job.wait_for_attempt(1)
    job.play_start()
    report_all_candidates(job)
    job.play(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    names = {("Job", "digits-t-lost"), ("Job", f"digits-t-{TARGET}")}
    job.wait(lambda: names <= job.children().keys())
    report_figures(job)
    fail_target_job(job, "digits-t-lost")
    job.wait_for("Complete", "True/Finished")
    assert_unmeasured(job, "lost")


def test_f79_a_target_whose_job_the_server_refuses_is_unmeasured_in_the_end(
    ray_api_server: Cluster, namespace: str
) -> None:
    refused = {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}
    targets = [{**TARGETS[0], "resources": refused}, TARGETS[1]]
    manifest = make_placed_job(namespace, targets)
    manifest["spec"]["stages"]["benchmark"] = {"timeoutSeconds": 5}
    job = WatchedJob.create(ray_api_server, manifest)
    job.wait_for_attempt(1)
    job.play_start()
    report_all_candidates(job)
    job.play(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    job.wait(lambda: ("Job", f"digits-t-{TARGET}") in job.children())
    job.wait_for("Scheduled", "False/PodsRefused")
    assert "must be less than or equal to cpu limit" in job.words("Scheduled")
    report_figures(job)
    job.wait_for("Complete", "True/Finished")
    assert_unmeasured(job, "lost")
