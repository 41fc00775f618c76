"""The status is computed whole from what is known, and never goes backwards."""

from dataclasses import replace
from typing import Any

import pytest

from job_world import UID, JobWorld, make_manifest, make_report
from progress_builder import make_progress
from trimtab_api.events import EventReason
from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.progress import Problem as Reported
from trimtab_api.stages import StageName, StageState
from trimtab_api.status_size import STATUS_LIMIT, measure_status
from trimtab_api.v1alpha1.conditions import ConditionType, DegradedReason
from trimtab_api.v1alpha1.status import JobState, StageStatus, Status, TrialCounts
from trimtab_operator.reconcile.observed import Observed, ReportView
from trimtab_operator.reconcile.plan import plan
from trimtab_operator.reconcile.status import next_status
from trimtab_operator.reconcile.verdict import Phase, Problem, Refusal


def running() -> JobWorld:
    world = JobWorld()
    world.settle()
    world.start()
    world.tell(make_report(trials=TrialCounts(summary="3/8", total=8, succeeded=3)))
    world.settle()
    return world


def compute(world: JobWorld, problem: Problem | None = None, **changes: Any) -> Status:
    observed: Observed = replace(world.observe(), **changes)
    status = next_status(observed, plan(observed, world.settings), world.settings, problem)
    assert status is not None
    return status


def degraded(status: Status) -> str | None:
    found = [entry for entry in status.conditions if entry.type is ConditionType.DEGRADED]
    return f"{found[0].status}/{found[0].reason}" if found else None


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    world = running()
    since = {entry.type: entry.last_transition_time for entry in world.status.conditions}
    world.wait(100)
    world.settle()
    assert since == {entry.type: entry.last_transition_time for entry in world.status.conditions}
    world.finish()
    world.settle()
    ready = world.condition("ClusterReady")
    assert ready is not None
    assert ready.last_transition_time > since[ConditionType.CLUSTER_READY]


def test_the_pass_that_makes_a_cluster_already_says_what_the_next_one_sees() -> None:
    first = compute(JobWorld())
    assert first.cluster is not None
    assert first.cluster.workers_ready == 0
    world = JobWorld()
    world.settle()
    assert world.status.cluster == first.cluster


def test_each_type_of_condition_is_there_once() -> None:
    world = running()
    world.finish()
    world.settle()
    types = [entry.type for entry in world.status.conditions]
    assert len(types) == len(set(types))


def test_f43_f44_a_report_that_cannot_be_read_leaves_the_last_figures() -> None:
    world = running()
    status = compute(world, report=ReportView(invalid="progress.json must be JSON"))
    assert degraded(status) == "True/ReportInvalid"
    assert status.trials is not None
    assert status.trials.summary == "3/8"


def test_f46_a_report_that_is_gone_leaves_the_last_figures() -> None:
    status = compute(running(), report=ReportView())
    assert status.trials is not None
    assert status.trials.summary == "3/8"
    assert status.state is JobState.RUNNING


@pytest.mark.parametrize(
    "reason", [DegradedReason.STORAGE_FULL, DegradedReason.STORAGE_UNREACHABLE]
)
def test_f52_f58_what_the_driver_waits_for_is_shown_and_goes_again(reason: DegradedReason) -> None:
    world = running()
    world.tell(make_report(problem=Reported(reason=reason, message="pvc://runs")))
    world.settle()
    assert world.said("Degraded") == f"True/{reason}"
    world.tell(make_report(sequence=2))
    world.settle()
    assert world.said("Degraded") == "False/Recovered"


def test_f09_f16_what_stops_the_operator_comes_before_what_the_driver_waits_for() -> None:
    world = running()
    problem = Reported(reason=DegradedReason.STORAGE_FULL, message="full")
    world.tell(make_report(problem=problem))
    status = compute(world, Problem(DegradedReason.FORBIDDEN, "may not create rayjobs"))
    assert degraded(status) == "True/Forbidden"
    assert status.message == "Forbidden: may not create rayjobs"


def test_an_attempt_that_waits_to_start_shows_the_figures_so_far() -> None:
    world = running()
    world.end(deployment="Failed", reason="AppFailed", job="FAILED")
    world.settle()
    assert world.status.trials is not None
    assert world.status.trials.summary == "3/8"
    assert "attempt 2 starts at" in (world.status.message or "")


def test_nothing_runs_in_the_status_of_a_job_without_a_driver() -> None:
    world = running()
    stages = (StageStatus(name=StageName.SEARCH, state=StageState.RUNNING),)
    world.tell(make_report(trials=TrialCounts(total=8, running=2), stages=stages))
    world.settle()
    assert world.status.stages[0].state is StageState.RUNNING
    world.edit(suspend=True)
    world.settle()
    world.wait(100)
    world.settle()
    assert world.status.stages[0].state is StageState.WAITING
    assert world.status.trials is not None
    assert world.status.trials.running == 0


def test_figures_name_the_folder_of_the_attempt_that_reported_them() -> None:
    world = running()
    world.remove("RayJob", "digits-a1")
    world.settle()
    assert world.status.attempt == 2
    assert (world.status.storage or "").endswith("/a1")
    world.tell(make_report(2))
    world.settle()
    assert (world.status.storage or "").endswith("/a2")


def test_a_finished_job_names_what_ships() -> None:
    targets = [{"name": "edge", "profile": "cpu-edge"}]
    world = JobWorld(make_manifest(targets=targets))
    world.settle()
    world.start()
    world.tell(make_progress(uid=UID, outcome=Outcome(result=OutcomeResult.SUCCEEDED)))
    world.end(deployment="Complete", job="SUCCEEDED")
    world.settle()
    assert world.status.result is not None
    assert world.status.targets[0].candidate == world.status.result.candidate
    assert (world.said("GoalsMet") or "").startswith("True/")


def test_a_status_is_small() -> None:
    world = running()
    world.tell(make_progress(uid=UID))
    world.settle()
    assert measure_status(world.status) <= STATUS_LIMIT


def test_nothing_is_written_for_a_job_that_is_left_alone() -> None:
    world = running()
    world.annotate("trimtab.dev/paused", "true")
    observed = world.observe()
    planned = plan(observed, world.settings)
    assert planned.verdict.phase is Phase.IGNORED
    assert next_status(observed, planned, world.settings) is None


def test_the_generation_that_the_status_tells_of_is_named() -> None:
    world = running()
    world.edit(backoffLimit=5)
    world.settle()
    assert world.status.observed_generation == 2


def test_times_of_start_and_end_stay() -> None:
    world = running()
    start = world.status.start_time
    world.wait(500)
    world.finish()
    world.settle()
    end = world.status.completion_time
    world.wait(500)
    world.settle()
    assert (world.status.start_time, world.status.completion_time) == (start, end)
    assert start != end


def test_ready_workers_are_counted_where_kuberay_tells_an_old_number() -> None:
    world = running()
    world.rayjob()["status"]["rayClusterStatus"]["readyWorkerReplicas"] = 0
    world.settle()
    cluster = world.status.cluster
    assert cluster is not None
    assert (cluster.workers_ready, cluster.workers_desired) == (2, 2)
    world.pods[1]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    world.settle()
    cluster = world.status.cluster
    assert cluster is not None
    assert cluster.workers_ready == 1


def test_no_worker_is_wanted_once_the_driver_has_ended() -> None:
    world = running()
    world.finish()
    world.settle()
    cluster = world.status.cluster
    assert cluster is not None
    assert cluster.workers_desired == 0


def test_f30_an_attempt_that_the_server_refuses_is_told_of_but_not_counted() -> None:
    world = JobWorld()
    observed = world.observe()
    refusal = Refusal("patch rayjobs.ray.io team/digits-a1: spec is invalid")
    planned = plan(observed, world.settings)
    status = next_status(observed, planned, world.settings, refusal)
    assert status is not None
    said = {entry.type: (entry.status, entry.reason, entry.message) for entry in status.conditions}
    assert said[ConditionType.SCHEDULED] == ("False", "PodsRefused", refusal.message)
    assert ConditionType.DEGRADED not in said
    assert status.message == f"PodsRefused: {refusal.message}"
    assert status.attempt is None


def test_f52_what_a_driver_says_of_itself_is_told_as_an_event_once() -> None:
    world = running()
    told = Reported(reason=DegradedReason.STORAGE_FULL, message="2 records wait")
    for sequence in (2, 3):
        world.tell(make_report(sequence=sequence, problem=told))
        world.settle()
    assert world.said("Degraded") == "True/StorageFull"
    assert world.events.count(EventReason.DEGRADED) == 1
