"""With a queue, others decide when an attempt may run, and taking it back costs nothing."""

from job_world import JobWorld, make_manifest, make_report
from trimtab_api.events import EventReason
from trimtab_operator.reconcile.verdict import Phase


def held(**spec: object) -> JobWorld:
    """Return a world in which a queue holds the first RayJob back, as Kueue's webhook does."""
    world = JobWorld(make_manifest(**spec))
    world.label("kueue.x-k8s.io/queue-name", "team-a")
    world.step()
    world.rayjob()["spec"]["suspend"] = True
    world.set_rayjob(jobDeploymentStatus="Suspended")
    world.settle()
    return world


def admit(world: JobWorld) -> None:
    world.rayjob()["spec"]["suspend"] = False
    world.set_rayjob(jobDeploymentStatus="Initializing", rayClusterName="digits-a1-x")
    world.settle()


def test_f25_a_held_job_is_queued_and_not_failing() -> None:
    world = held()
    assert world.said("Queued") == "True/WaitingForQuota"
    assert world.said("Suspended") == "True/SuspendedByQueue"
    assert world.status.state == "Queued"
    assert EventReason.QUEUED in world.events


def test_f25_time_in_a_queue_counts_for_no_deadline() -> None:
    world = held(preRunningDeadlineSeconds=60, activeDeadlineSeconds=300)
    world.wait(10_000)
    assert world.settle().verdict.phase is Phase.HELD
    admit(world)
    world.wait(59)
    assert world.settle().verdict.phase is Phase.STARTING
    world.start()
    world.wait(200)
    assert world.settle().verdict.phase is Phase.RUNNING
    assert world.said("Queued") == "False/Admitted"
    world.wait(100)
    assert world.settle().verdict.phase is Phase.FAILED


def test_f25_an_eviction_after_the_start_is_a_free_attempt() -> None:
    world = held(backoffLimit=0)
    admit(world)
    world.start()
    world.tell(make_report())
    world.settle()
    world.rayjob()["spec"]["suspend"] = True
    world.step()
    assert world.said("Queued") == "True/Evicted"
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
    assert "suspend" not in world.rayjob(2)["spec"]


def test_f25_an_eviction_is_seen_after_a_restart_of_the_operator() -> None:
    world = held()
    admit(world)
    del world.manifest["status"]
    world.rayjob()["spec"]["suspend"] = True
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]


def test_f25_a_rayjob_that_is_held_without_a_label_waits_too() -> None:
    world = JobWorld(make_manifest(preRunningDeadlineSeconds=60))
    world.step()
    world.rayjob()["spec"]["suspend"] = True
    world.set_rayjob(jobDeploymentStatus="Suspended")
    assert world.settle().verdict.phase is Phase.HELD
    world.wait(1000)
    assert world.settle().verdict.phase is Phase.HELD
    world.rayjob()["spec"]["suspend"] = False
    world.set_rayjob(jobDeploymentStatus="Initializing")
    world.settle()
    world.wait(30)
    assert world.settle().verdict.phase is Phase.STARTING


def test_a_held_job_can_be_suspended_by_its_owner() -> None:
    world = held()
    world.edit(suspend=True)
    world.settle()
    assert world.names("RayJob") == []
    assert world.said("Suspended") == "True/SuspendedBySpec"
