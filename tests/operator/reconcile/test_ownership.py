"""What belongs to others in a child stays theirs, and what is counted outlives every child."""

from typing import Any

import pytest

from job_world import JobWorld, make_manifest, make_report
from trimtab_api.events import EventReason
from trimtab_operator.reconcile.verdict import Phase


def running(**spec: Any) -> JobWorld:
    """Return a world in which the driver of the first attempt runs."""
    world = JobWorld(make_manifest(**spec))
    world.settle()
    world.start()
    world.tell(make_report())
    world.settle()
    return world


def fail(world: JobWorld, attempt: int) -> None:
    """Let the driver of an attempt crash, and the next attempt start where there may be one."""
    world.end(attempt, deployment="Failed", reason="AppFailed", job="FAILED")
    world.settle()
    world.wait(1000)
    world.settle()


def complete_as_kuberay(world: JobWorld) -> dict[str, Any]:
    """Write into the worker groups what KubeRay writes, and return the group."""
    (group,) = world.rayjob()["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    group |= {"numOfHosts": 1, "scaleStrategy": {}}
    return dict(group)


def test_f17_a_restored_rayjob_keeps_what_kuberay_and_a_queue_wrote() -> None:
    world = running()
    world.rayjob()["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team-a"
    world.rayjob()["metadata"]["labels"]["somebody"] = "else"
    group = complete_as_kuberay(world)
    del world.rayjob()["spec"]["ttlSecondsAfterFinished"]
    (planned, told) = world.plan().actions
    assert told.reason is EventReason.CHILD_RESTORED
    spec = planned.manifest["spec"]
    assert spec["ttlSecondsAfterFinished"] == 0
    assert spec["rayClusterSpec"]["workerGroupSpecs"] == [group]
    labels = planned.manifest["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "somebody" not in labels


def test_f25_what_a_queue_writes_into_the_pods_is_no_drift() -> None:
    world = running()
    group = complete_as_kuberay(world)
    group["template"]["spec"]["nodeSelector"] = {"flavor": "spot"}
    world.rayjob()["spec"]["rayClusterSpec"]["workerGroupSpecs"] = [group]
    assert world.plan().actions == ()


def test_f17_pods_that_are_gone_from_a_rayjob_come_back() -> None:
    world = running()
    del world.rayjob()["spec"]["submitterPodTemplate"]
    world.rayjob()["spec"]["backoffLimit"] = 3
    world.settle()
    assert world.rayjob()["spec"]["submitterPodTemplate"]["spec"]["containers"]


@pytest.mark.parametrize("label", ["trimtab.dev/job", "trimtab.dev/attempt"])
def test_f17_labels_of_a_rayjob_come_back_and_do_not_count_attempts(label: str) -> None:
    world = running()
    before = world.rayjob()["metadata"]["labels"][label]
    world.rayjob()["metadata"]["labels"][label] = "7"
    assert world.settle().verdict.phase is Phase.RUNNING
    assert world.rayjob()["metadata"]["labels"][label] == before
    assert world.names("RayJob") == ["digits-a1"]


def test_f17_failures_are_counted_on_without_any_spec_config() -> None:
    world = running(backoffLimit=1)
    fail(world, 1)
    world.start(2)
    world.settle()
    assert world.status.failed_attempts == 1
    for name in [name for name in world.names("ConfigMap") if "-a" in name]:
        world.remove("ConfigMap", name)
    world.settle()
    fail(world, 2)
    assert world.said("Failed") == "True/BackoffLimitExceeded"


def test_f17_failures_and_time_are_counted_on_when_all_children_were_deleted() -> None:
    world = running(backoffLimit=1, activeDeadlineSeconds=5000)
    world.wait(500)
    fail(world, 1)
    before = world.status.active_seconds
    assert before is not None
    assert before >= 500
    world.objects.clear()
    world.pods.clear()
    world.settle()
    assert world.names("RayJob") == ["digits-a3"]
    assert world.status.failed_attempts == 1
    assert world.status.active_seconds is not None
    assert world.status.active_seconds >= before
    fail(world, 3)
    assert world.said("Failed") == "True/BackoffLimitExceeded"


def test_a_retry_counts_from_the_start() -> None:
    world = running(backoffLimit=0)
    fail(world, 1)
    assert world.said("Failed") == "True/BackoffLimitExceeded"
    world.annotate("trimtab.dev/retry", "1")
    world.settle()
    assert world.names("RayJob")[-1] == "digits-a2"
    assert world.status.failed_attempts is None


@pytest.mark.parametrize("name", ["digits-a1", "digits-progress"])
@pytest.mark.parametrize("field", ["labels", "ownerReferences"])
def test_f17_labels_and_owners_of_configs_come_back(name: str, field: str) -> None:
    world = running()
    metadata = world.objects["ConfigMap", name]["metadata"]
    before = metadata.pop(field)
    assert world.settle().verdict.phase is Phase.RUNNING
    assert world.objects["ConfigMap", name]["metadata"][field] == before
    assert world.events[-1] is EventReason.CHILD_RESTORED


def test_f17_a_rayjob_without_its_owner_is_taken_back() -> None:
    world = running()
    before = world.rayjob()["metadata"].pop("ownerReferences")
    assert world.settle().verdict.phase is Phase.RUNNING
    assert world.rayjob()["metadata"]["ownerReferences"] == before
    assert world.names("RayJob") == ["digits-a1"]
