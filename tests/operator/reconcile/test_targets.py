"""Placed targets are measured after the driver, each by a Job of its own, or not at all."""

from typing import Any

from job_world import UID, JobWorld, make_manifest
from trimtab_api.events import EventReason
from trimtab_api.progress import TargetReport
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_operator.reconcile.observed import ReportView
from trimtab_operator.reconcile.plan import plan
from trimtab_operator.reconcile.status import next_status
from trimtab_operator.reconcile.verdict import Phase, Refusal

TARGETS = [
    {"name": "edge", "nodeSelector": {"arch": "arm64"}},
    {"name": "dc", "nodeSelector": {"gpu": "h100"}},
    {"name": "host"},
]


def measuring(**spec: Any) -> JobWorld:
    """Return a world in which the driver has succeeded."""
    world = JobWorld(make_manifest(targets=TARGETS, **spec))
    world.settle()
    world.start()
    world.settle()
    world.finish()
    world.settle()
    return world


def measure(world: JobWorld, name: str, attempt: int = 1) -> None:
    report = TargetReport(
        uid=UID,
        attempt=attempt,
        node="pi",
        device=TargetDevice.CPU,
        baseline={"latency_p50_ms": 2.0},
        candidates={},
    )
    view = world.report
    world.report = ReportView(progress=view.progress, targets={**view.targets, name: report})


def end_job(world: JobWorld, name: str, kind: str, reason: str = "") -> None:
    condition = {"type": kind, "status": "True", "reason": reason}
    world.objects["Job", name]["status"] = {"conditions": [condition]}


def test_each_placed_target_gets_a_job_once_the_driver_has_ended() -> None:
    world = measuring()
    assert world.names("Job") == ["digits-t-dc", "digits-t-edge"]
    assert world.plan().verdict.phase is Phase.MEASURING
    assert world.plan().actions == ()


def test_no_job_is_made_while_pods_of_the_cluster_hold_machines() -> None:
    world = JobWorld(make_manifest(targets=TARGETS))
    world.settle()
    world.start()
    pods = world.pods
    world.finish()
    world.pods = pods
    assert world.settle().verdict.phase is Phase.STOPPING
    assert world.names("Job") == []


def test_the_job_is_complete_when_every_target_has_reported() -> None:
    world = measuring()
    measure(world, "edge")
    assert world.settle().verdict.phase is Phase.MEASURING
    measure(world, "dc")
    assert world.settle().verdict.phase is Phase.COMPLETE


def test_what_the_driver_said_of_targets_is_not_kept_when_they_are_measured() -> None:
    world = measuring()
    ready = next(c for c in world.status.conditions if c.type is ConditionType.CLUSTER_READY)
    assert (ready.reason, ready.message) == ("Stopped", "")


def test_f79_a_target_that_cannot_be_measured_does_not_fail_the_job() -> None:
    world = measuring()
    measure(world, "edge")
    end_job(world, "digits-t-dc", "Failed", "DeadlineExceeded")
    assert world.settle().verdict.phase is Phase.COMPLETE
    assert world.said("Complete") == "True/Finished"
    assert world.said("GoalsMet") == "False/TargetUnmeasured"
    states = {target.name: target.state for target in world.status.targets}
    assert states["dc"] == "Unmeasured"
    assert world.events.count(EventReason.TARGET_UNMEASURED) == 1


def test_f17_a_deleted_job_of_a_target_is_made_again() -> None:
    world = measuring()
    world.remove("Job", "digits-t-edge")
    world.settle()
    assert "digits-t-edge" in world.names("Job")


def test_a_target_is_not_measured_again_after_the_end() -> None:
    world = measuring()
    measure(world, "edge")
    measure(world, "dc")
    world.settle()
    world.remove("Job", "digits-t-edge")
    world.report = ReportView(progress=world.report.progress)
    assert world.step().actions == ()


def test_targets_are_measured_anew_for_an_extended_study() -> None:
    world = measuring()
    measure(world, "edge")
    measure(world, "dc")
    world.settle()
    world.edit(stages={"search": {"numTrials": 20}, "train": {}})
    world.settle()
    assert world.names("Job") == []
    world.start(2)
    world.settle()
    world.finish(2)
    assert world.settle().verdict.phase is Phase.MEASURING
    labels = world.objects["Job", "digits-t-edge"]["metadata"]["labels"]
    assert labels["trimtab.dev/attempt"] == "2"


def test_suspending_a_measurement_frees_the_nodes_and_goes_on_later() -> None:
    world = measuring()
    world.edit(suspend=True)
    assert world.settle().verdict.phase is Phase.SUSPENDED
    assert world.names("Job") == []
    world.edit(suspend=False)
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]


def test_the_deadline_holds_while_targets_are_measured() -> None:
    world = measuring(activeDeadlineSeconds=600)
    world.wait(700)
    assert world.settle().verdict.phase is Phase.FAILED
    assert world.said("Failed") == "True/DeadlineExceeded"
    assert world.names("Job") == []


def test_f18_a_strangers_job_under_a_targets_name_is_not_touched() -> None:
    world = JobWorld(make_manifest(targets=TARGETS))
    stranger = {"kind": "Job", "metadata": {"name": "digits-t-edge"}}
    world.objects["Job", "digits-t-edge"] = stranger
    world.settle()
    world.start()
    world.finish()
    world.settle()
    assert world.said("Degraded") == "True/NameConflict"
    assert world.objects["Job", "digits-t-edge"] is stranger


def test_f79_a_target_whose_job_the_server_refuses_is_given_up_in_time() -> None:
    world = JobWorld(make_manifest(targets=TARGETS))
    world.settle()
    world.start()
    world.settle()
    world.finish()
    world.pods = []
    world.step()
    world.settle()
    world.remove("Job", "digits-t-dc")
    end_job(world, "digits-t-edge", "Failed")
    observed = world.observe()
    refused = next_status(
        observed, plan(observed, world.settings), world.settings, Refusal("no such field")
    )
    assert refused is not None
    world.manifest["status"] = refused.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert world.plan().verdict.phase is Phase.MEASURING
    world.wait(1e5)
    assert world.plan().verdict.phase is Phase.COMPLETE
