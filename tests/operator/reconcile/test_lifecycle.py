"""A job from its first pass to its end, with what can happen to an attempt on the way."""

from typing import Any

import pytest

from job_world import JobWorld, make_manifest, make_pod, make_report
from trimtab_api.events import EventReason
from trimtab_api.progress import Outcome, OutcomeResult, parse_control
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_api.v1alpha1.status import TrialCounts
from trimtab_operator.reconcile.attempts import parse_record
from trimtab_operator.reconcile.verdict import Phase
from trimtab_operator.resources.configmaps import ANNOTATION_RECORD


def running(**spec: Any) -> JobWorld:
    """Return a world in which the driver of the first attempt runs."""
    world = JobWorld(make_manifest(**spec))
    world.settle()
    world.start()
    world.tell(make_report())
    world.settle()
    return world


def control(world: JobWorld) -> Any:
    return parse_control(world.objects["ConfigMap", "digits-progress"]["data"]["control.json"])


def test_a_new_job_gets_all_its_children_at_once() -> None:
    world = JobWorld()
    assert world.step().verdict.phase is Phase.STARTING
    assert world.names("RayJob") == ["digits-a1"]
    assert world.names("ConfigMap") == ["digits-a1", "digits-progress"]
    assert world.names("NetworkPolicy") == ["digits-ray"]
    assert world.status.state == "Starting"
    assert world.events == [EventReason.CLUSTER_CREATED, EventReason.ACCEPTED]


def test_f04_a_converged_job_is_not_written_to() -> None:
    world = running()
    world.wait(7)
    before = world.manifest["status"]
    assert world.step().actions == ()
    assert world.manifest["status"] == before


def test_a_running_job_says_so() -> None:
    world = running()
    assert world.said("ClusterReady") == "True/WorkersReady"
    assert world.said("Scheduled") == "True/PodsScheduled"
    assert world.status.cluster is not None
    assert world.status.cluster.ray_cluster == "digits-a1-x"
    assert world.status.storage is not None
    assert world.status.storage.endswith(f"/team/digits/{world.manifest['metadata']['uid']}/a1")


def test_a_finished_job_is_complete_and_at_rest() -> None:
    world = running()
    world.finish()
    assert world.settle().verdict.phase is Phase.COMPLETE
    assert world.said("Complete") == "True/Finished"
    assert world.status.completion_time is not None
    assert world.plan().requeue_after is None
    assert EventReason.COMPLETED in world.events


def test_the_driver_gets_a_moment_to_leave_and_is_then_removed() -> None:
    world = running()
    world.finish()
    world.set_rayjob(1, jobDeploymentStatus="Running", jobStatus="RUNNING")
    assert world.settle().verdict.phase is Phase.STOPPING
    world.wait(world.settings.stop_grace + 1)
    assert world.settle().verdict.phase is Phase.COMPLETE
    assert world.names("RayJob") == []


def test_a_complete_job_stays_complete_without_its_children() -> None:
    world = running()
    world.finish()
    world.settle()
    world.objects.clear()
    assert world.step().actions == ()
    assert world.said("Complete") == "True/Finished"


def test_f26_more_trials_reach_a_running_driver() -> None:
    world = running()
    world.edit(stages={"search": {"numTrials": 20, "parallelTrials": 1}, "train": {}})
    world.settle()
    assert (control(world).num_trials, control(world).parallel_trials) == (20, 1)
    assert world.names("RayJob") == ["digits-a1"]
    assert EventReason.CHILD_RESTORED not in world.events


def test_f26_more_trials_extend_a_finished_job() -> None:
    world = running()
    world.finish()
    world.settle()
    world.edit(stages={"search": {"numTrials": 20}, "train": {}})
    world.step()
    assert world.said("Complete") == "False/StudyExtended"
    assert EventReason.STUDY_EXTENDED in world.events
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    world.start(2)
    world.finish(2)
    assert world.settle().verdict.phase is Phase.COMPLETE


def test_f26_a_raise_that_the_driver_did_not_hear_of_extends_the_job_once() -> None:
    world = running()
    world.edit(stages={"search": {"numTrials": 20}, "train": {}})
    told = TrialCounts(total=8, succeeded=8)
    outcome = Outcome(result=OutcomeResult.SUCCEEDED)
    world.tell(make_report(1, outcome=outcome, trials=told))
    world.end(1, deployment="Complete", job="SUCCEEDED")
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    world.start(2)
    world.tell(make_report(2, outcome=outcome, trials=told))
    world.end(2, deployment="Complete", job="SUCCEEDED")
    assert world.settle().verdict.phase is Phase.COMPLETE


def test_f26_fewer_trials_than_done_change_nothing_afterwards() -> None:
    world = running()
    world.finish()
    world.settle()
    world.edit(stages={"search": {"numTrials": 2, "parallelTrials": 1}, "train": {}})
    assert world.settle().verdict.phase is Phase.COMPLETE


def test_f24_a_suspended_driver_is_told_to_stop_before_it_is_removed() -> None:
    world = running()
    world.edit(suspend=True)
    assert world.settle().verdict.phase is Phase.STOPPING
    assert control(world).stop
    assert world.names("RayJob") == ["digits-a1"]
    world.wait(world.settings.stop_grace + 1)
    assert world.settle().verdict.phase is Phase.SUSPENDED
    assert world.names("RayJob") == []
    assert world.said("Suspended") == "True/SuspendedBySpec"
    assert world.status.state == "Suspended"


def test_f24_a_suspended_job_waits_for_its_pods_but_not_for_ever() -> None:
    world = running()
    world.edit(suspend=True)
    world.settle()
    world.wait(world.settings.stop_grace + 1)
    world.settle()
    world.pods = [make_pod("a1-head", "head", 1)]
    assert world.step().verdict.phase is Phase.STOPPING
    world.wait(world.settings.pods_grace)
    assert world.settle().verdict.phase is Phase.SUSPENDED


def test_f24_a_job_that_goes_on_is_a_new_attempt() -> None:
    world = running(backoffLimit=0)
    world.edit(suspend=True)
    world.settle()
    world.wait(100)
    world.settle()
    world.edit(suspend=False)
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    assert world.names("ConfigMap") == ["digits-a2", "digits-progress"]
    assert not control(world).stop
    assert world.said("Suspended") == "False/Resumed"
    assert EventReason.RESUMED in world.events


def test_a_job_that_is_made_suspended_makes_nothing() -> None:
    world = JobWorld(make_manifest(suspend=True))
    assert world.settle().verdict.phase is Phase.SUSPENDED
    assert world.objects == {}


def test_f39_a_lost_head_costs_a_pause_and_no_attempt() -> None:
    world = running(backoffLimit=0)
    world.end(deployment="Failed", reason="AppFailed", job="RUNNING")
    assert world.settle().verdict.phase is Phase.WAITING
    assert world.said("ClusterReady") == "False/HeadLost"
    assert EventReason.CLUSTER_FAILED in world.events
    world.wait(world.settings.first_backoff + 1)
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]


def test_attempts_that_fail_wait_longer_each_time_and_end_the_job() -> None:
    world = JobWorld(make_manifest(backoffLimit=2))
    world.settle()
    pauses = []
    for attempt in (1, 2):
        world.start(attempt)
        world.end(attempt, deployment="Failed", reason="AppFailed", job="FAILED")
        planned = world.settle()
        assert planned.verdict.phase is Phase.WAITING
        pauses.append(planned.requeue_after)
        world.wait(planned.requeue_after or 0)
        world.settle()
    assert pauses == pytest.approx([10, 20], abs=0.1)
    world.start(3)
    world.end(3, deployment="Failed", reason="AppFailed", job="FAILED")
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/BackoffLimitExceeded"
    assert world.names("RayJob") == ["digits-a3"]


def test_f36_an_error_of_the_user_is_final_at_once() -> None:
    world = running()
    world.finish(result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR)
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/UserError"
    assert "the driver's words" in (world.status.message or "")


def test_a_failed_job_is_tried_once_more_for_each_new_value_of_the_annotation() -> None:
    world = running()
    world.annotate("trimtab.dev/retry", "before the end")
    world.finish(result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR)
    assert world.settle().verdict.phase is Phase.FAILED
    world.annotate("trimtab.dev/retry", "1")
    assert world.settle().verdict.phase is Phase.STARTING
    world.start(2)
    world.finish(2, result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR)
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.names("RayJob") == ["digits-a2"]


def test_a_failed_job_stays_failed_without_its_children() -> None:
    world = running()
    world.finish(result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR)
    world.settle()
    world.objects.clear()
    assert world.step().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/UserError"


def test_f17_a_deleted_rayjob_is_followed_by_the_next_attempt() -> None:
    world = running(backoffLimit=0)
    world.remove("RayJob", "digits-a1")
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    assert world.status.attempt == 2


def test_f17_both_objects_of_an_attempt_deleted_do_not_bring_its_number_back() -> None:
    world = running()
    world.remove("RayJob", "digits-a1")
    world.remove("ConfigMap", "digits-a1")
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ConfigMap", "digits-a1"),
        ("ConfigMap", "digits-progress"),
        ("ServiceAccount", "digits-progress"),
        ("Role", "digits-progress"),
        ("RoleBinding", "digits-progress"),
        ("NetworkPolicy", "digits-ray"),
    ],
)
def test_f17_a_deleted_child_is_restored_under_a_running_driver(kind: str, name: str) -> None:
    world = running()
    world.remove(kind, name)
    world.settle()
    assert name in world.names(kind)
    assert world.names("RayJob") == ["digits-a1"]
    assert world.events[-1] is EventReason.CHILD_RESTORED


def test_f46_a_deleted_control_key_is_restored() -> None:
    world = running()
    del world.objects["ConfigMap", "digits-progress"]["data"]["control.json"]
    world.settle()
    assert control(world).attempt == 1
    assert world.events[-1] is EventReason.CHILD_RESTORED


def test_f17_an_edited_rayjob_is_applied_as_it_was_made() -> None:
    world = running()
    world.edit(cluster={"image": "other:2"})
    world.rayjob()["spec"]["shutdownAfterJobFinishes"] = False
    world.settle()
    spec = world.rayjob()["spec"]
    assert spec["shutdownAfterJobFinishes"]
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert head["image"] == "trimtab/trainer:test"


def test_f18_the_name_of_somebody_elses_child_is_not_taken() -> None:
    world = JobWorld()
    world.objects["RayJob", "digits-a1"] = {"kind": "RayJob", "metadata": {"name": "digits-a1"}}
    assert world.settle().verdict.phase is Phase.BLOCKED
    assert world.said("Degraded") == "True/NameConflict"
    assert list(world.objects) == [("RayJob", "digits-a1")]
    world.objects.clear()
    world.settle()
    assert world.said("Degraded") == "False/Recovered"


def test_f18_a_stranger_among_the_shared_children_does_not_stop_a_running_job() -> None:
    world = running()
    stranger = {"kind": "NetworkPolicy", "metadata": {"name": "digits-ray"}, "spec": {}}
    world.objects["NetworkPolicy", "digits-ray"] = stranger
    planned = world.settle()
    assert planned.verdict.phase is Phase.RUNNING
    # No event tells that the stranger is gone.
    assert planned.requeue_after == world.settings.poll_interval
    assert world.said("Degraded") == "True/NameConflict"
    assert world.objects["NetworkPolicy", "digits-ray"] is stranger


def test_f19_nothing_is_done_for_a_job_that_is_deleted() -> None:
    world = running()
    world.manifest["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    world.remove("RayJob", "digits-a1")
    assert world.step().actions == ()


def test_a_paused_job_is_left_as_it_is() -> None:
    world = running()
    world.annotate("trimtab.dev/paused", "true")
    world.remove("RayJob", "digits-a1")
    assert world.step().actions == ()
    world.annotate("trimtab.dev/paused", "false")
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]


def test_a_job_of_another_manager_is_left_alone() -> None:
    world = JobWorld(make_manifest(managedBy="kueue.x-k8s.io/multikueue"))
    assert world.step().actions == ()
    assert "status" not in world.manifest


def test_f21_children_of_an_earlier_job_of_the_same_name_are_strangers() -> None:
    world = running()
    for value in world.objects.values():
        value["metadata"]["ownerReferences"][0]["uid"] = "earlier"
    del world.manifest["status"]
    world.report = JobWorld().report
    assert world.step().verdict.phase is Phase.BLOCKED
    assert world.said("Degraded") == "True/NameConflict"


def test_f27_a_finished_job_is_deleted_when_its_time_is_over() -> None:
    world = running(ttlSecondsAfterFinished=3600)
    world.finish()
    assert world.settle().requeue_after == pytest.approx(3600, abs=1)
    world.wait(3599)
    world.step()
    assert not world.gone
    world.wait(2)
    world.step()
    assert world.gone


def test_f30_an_edit_before_the_workers_are_ready_is_a_free_attempt() -> None:
    world = JobWorld(make_manifest(backoffLimit=0, cluster={"image": "wrong:1"}))
    world.settle()
    world.set_rayjob(1, jobDeploymentStatus="Initializing")
    world.edit(cluster={"image": "right:1"})
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    assert world.names("ConfigMap") == ["digits-a2", "digits-progress"]


@pytest.mark.parametrize(("heads", "workers"), [(1, 0), (1, 1), (0, 2), (1, 2)])
def test_f30_pods_that_lack_are_no_cluster_whatever_kuberay_calls_it(
    heads: int, workers: int
) -> None:
    world = JobWorld(make_manifest(cluster={"workers": {"replicas": 2}}))
    world.settle()
    world.set_rayjob(
        jobDeploymentStatus="Initializing",
        rayClusterStatus={"conditions": [{"type": "RayClusterProvisioned", "status": "True"}]},
    )
    roles = [*["head"] * heads, *["worker"] * workers]
    world.pods += [make_pod(f"a1-{number}", role, 1) for number, role in enumerate(roles)]
    phase = world.settle().verdict.phase
    assert phase is (Phase.RUNNING if heads + workers == 3 else Phase.STARTING)
    world.edit(cluster={"workers": {"replicas": 1}})
    world.settle()
    assert world.names("RayJob") == ["digits-a1" if heads + workers == 3 else "digits-a2"]


def test_a_worker_that_is_lost_while_the_driver_runs_starts_no_new_attempt() -> None:
    world = running()
    world.pods.pop()
    world.edit(cluster={"image": "other:1"})
    world.settle()
    assert world.names("RayJob") == ["digits-a1"]
    assert world.said("ClusterReady") == "True/WorkersReady"


def test_an_edit_of_the_cluster_leaves_a_running_driver_alone() -> None:
    world = running()
    world.edit(cluster={"image": "other:1"})
    world.settle()
    assert world.names("RayJob") == ["digits-a1"]


def test_an_edit_of_the_account_leaves_a_running_driver_its_rights() -> None:
    world = running()
    world.edit(cluster={"serviceAccountName": "other"})
    assert world.settle().verdict.phase is Phase.RUNNING
    binding = world.objects["RoleBinding", "digits-progress"]
    assert binding["subjects"][0]["name"] == "digits-progress"
    world.remove("RayJob", "digits-a1")
    world.settle()
    binding = world.objects["RoleBinding", "digits-progress"]
    assert binding["subjects"][0]["name"] == "other"


def test_f30_workers_that_never_come_end_the_job() -> None:
    world = JobWorld(make_manifest(preRunningDeadlineSeconds=60))
    world.settle()
    world.set_rayjob(1, jobDeploymentStatus="Initializing")
    world.wait(59)
    assert world.settle().verdict.phase is Phase.STARTING
    world.wait(2)
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/PreRunningDeadlineExceeded"
    assert world.names("RayJob") == []


def test_f30_a_longer_deadline_holds_at_once() -> None:
    world = JobWorld(make_manifest(preRunningDeadlineSeconds=60))
    world.settle()
    world.edit(preRunningDeadlineSeconds=600)
    world.wait(100)
    assert world.settle().verdict.phase is Phase.STARTING


def test_f30_the_words_of_scheduler_and_api_are_shown() -> None:
    world = JobWorld()
    world.settle()
    condition = {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    world.pods = [make_pod("w0", "worker", 1, phase="Pending", conditions=[condition])]
    world.pods[0]["spec"] = {}
    world.settle()
    assert world.said("Scheduled") == "False/Unschedulable"
    world.pods = []
    refused = {"type": "ReplicaFailure", "status": "True", "message": "no PriorityClass gold"}
    world.set_rayjob(rayClusterStatus={"conditions": [refused]})
    world.settle()
    assert world.said("Scheduled") == "False/PodsRefused"
    assert "gold" in world.words("Scheduled")


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        ("ErrImagePull", "False/ImagePullFailed"),
        ("CreateContainerConfigError", "False/PodsWaiting"),
    ],
)
def test_f33_f36_the_reason_why_a_pod_waits_is_shown(waiting: str, said: str) -> None:
    world = JobWorld()
    world.settle()
    state = {"name": "ray-head", "state": {"waiting": {"reason": waiting, "message": "why"}}}
    world.pods = [make_pod("head", "head", 1, containerStatuses=[state])]
    world.settle()
    assert world.said("ClusterReady") == said


def test_the_time_of_all_attempts_counts_for_the_deadline_but_not_suspension() -> None:
    world = running(activeDeadlineSeconds=600)
    world.wait(400)
    world.edit(suspend=True)
    world.settle()
    world.wait(10_000)
    world.settle()
    world.edit(suspend=False)
    world.settle()
    world.start(2)
    world.tell(make_report(2))
    world.wait(150)
    assert world.settle().verdict.phase is Phase.RUNNING
    world.wait(100)
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/DeadlineExceeded"
    assert world.names("RayJob") == []


def test_f14_a_clock_that_jumps_back_ends_nothing() -> None:
    world = running(activeDeadlineSeconds=600, preRunningDeadlineSeconds=60)
    world.wait(-3600)
    assert world.settle().verdict.phase is Phase.RUNNING


def test_f47_a_silent_driver_is_named_and_then_given_up() -> None:
    world = running()
    world.silent_seconds = 121
    assert world.settle().verdict.phase is Phase.RUNNING
    assert world.said("Degraded") == "True/DriverStalled"
    world.silent_seconds = 601
    world.settle()
    world.silent_seconds = 0
    world.wait(world.settings.first_backoff + 1)
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    assert world.said("Degraded") == "False/Recovered"


@pytest.mark.parametrize("killed_after", [0, 1, 2])
def test_f01_an_attempt_that_is_given_up_counts_wherever_the_operator_is_killed(
    killed_after: int,
) -> None:
    world = running(backoffLimit=0)
    world.silent_seconds = 700
    world.step(most_actions=killed_after)
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/BackoffLimitExceeded"


def test_f47_a_cluster_that_starts_is_not_silent() -> None:
    world = JobWorld()
    world.settle()
    world.silent_seconds = 1000
    assert world.settle().verdict.problem is None


def test_f37_without_kuberay_a_job_waits_and_starts_by_itself() -> None:
    world = JobWorld()
    world.kuberay_problem = "install KubeRay"
    assert world.settle().verdict.phase is Phase.BLOCKED
    assert world.said("Degraded") == "True/KubeRayMissing"
    assert world.objects == {}
    world.kuberay_problem = None
    world.settle()
    assert world.names("RayJob") == ["digits-a1"]
    assert world.said("Degraded") == "False/Recovered"


def test_f37_kuberay_that_does_not_act_is_named() -> None:
    world = JobWorld()
    world.settle()
    world.wait(world.settings.kuberay_patience + 1)
    world.settle()
    assert world.said("Degraded") == "True/KubeRayMissing"
    world.set_rayjob(jobDeploymentStatus="Initializing")
    world.settle()
    assert world.said("Degraded") == "False/Recovered"


def test_f37_rayjobs_that_cannot_be_read_are_not_taken_for_deleted() -> None:
    world = running()
    world.kuberay_problem = "no such kind"
    rayjob = world.objects.pop(("RayJob", "digits-a1"))
    world.settle()
    assert world.said("Degraded") == "True/KubeRayMissing"
    world.kuberay_problem = None
    world.objects["RayJob", "digits-a1"] = rayjob
    assert world.settle().verdict.phase is Phase.RUNNING


def test_f38_an_unknown_word_of_kuberay_is_shown_raw() -> None:
    world = JobWorld()
    world.settle()
    world.set_rayjob(jobDeploymentStatus="Pondering")
    world.settle()
    assert world.said("ClusterReady") == "False/StatusUnknown"
    assert "Pondering" in world.words("ClusterReady")


def test_f45_an_outcome_of_an_older_attempt_ends_nothing() -> None:
    world = running()
    world.remove("RayJob", "digits-a1")
    world.settle()
    world.start(2)
    world.tell(make_report(1, outcome=Outcome(result=OutcomeResult.SUCCEEDED)))
    assert world.settle().verdict.phase is Phase.RUNNING


def test_f01_an_operator_that_died_between_rayjob_and_configmap_remembers_the_attempt() -> None:
    world = running()
    world.end(1, deployment="Failed", reason="AppFailed", job="FAILED")
    world.settle()
    world.wait(world.settings.longest_backoff + 1)
    world.step(most_actions=2)
    assert world.names("RayJob") == ["digits-a1", "digits-a2"]
    assert "digits-a2" not in world.names("ConfigMap")
    world.settle()
    annotation = world.objects["ConfigMap", "digits-a2"]["metadata"]["annotations"]
    record = parse_record(annotation[ANNOTATION_RECORD])
    assert record.failures == 1
    assert record.fingerprint
    assert record.active_seconds > 0
