"""Whatever happens in whatever order, and wherever the operator is killed: the rules of attempts."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from job_world import JobWorld, make_manifest, make_report
from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_operator.reconcile.actions import Apply
from trimtab_operator.reconcile.attempts import EndCause, parse_record
from trimtab_operator.reconcile.verdict import Phase
from trimtab_operator.resources.configmaps import ANNOTATION_RECORD

OVER = {"Complete", "Failed", "ValidationFailed"}
SETTINGS = settings(max_examples=100, derandomize=True)


def live_rayjobs(world: JobWorld) -> list[str]:
    """Return the RayJobs that may still run a driver."""
    return [
        name
        for (kind, name), value in world.objects.items()
        if kind == "RayJob" and value.get("status", {}).get("jobDeploymentStatus") not in OVER
    ]


def newest(world: JobWorld) -> int | None:
    numbers = [int(name.rpartition("-a")[2]) for name in world.names("RayJob")]
    return max(numbers, default=None)


def on_newest(change: Callable[[JobWorld, int], None]) -> Callable[[JobWorld], None]:
    def happen(world: JobWorld) -> None:
        attempt = newest(world)
        # KubeRay does nothing more about a RayJob that is over.
        if attempt is not None and f"digits-a{attempt}" in live_rayjobs(world):
            change(world, attempt)

    return happen


def report(world: JobWorld, attempt: int, outcome: Outcome | None = None) -> None:
    """The driver of an attempt reports; EDGE would drop what is older than the last report."""
    last = world.report.progress
    if last is None or attempt >= last.attempt:
        world.tell(make_report(attempt, outcome=outcome))


def toggle(key: str, first: Any, second: Any) -> Callable[[JobWorld], None]:
    def happen(world: JobWorld) -> None:
        world.edit(**{key: second if world.manifest["spec"].get(key) == first else first})

    return happen


def remove_child(kind: str, suffix: str) -> Callable[[JobWorld], None]:
    def happen(world: JobWorld) -> None:
        for name in world.names(kind):
            if suffix in name:
                world.remove(kind, name)

    return happen


def set_suspend(value: bool) -> Callable[[JobWorld], None]:
    def happen(world: JobWorld, attempt: int) -> None:
        world.rayjob(attempt)["spec"]["suspend"] = value
        world.set_rayjob(attempt, jobDeploymentStatus="Suspended" if value else "Initializing")

    return on_newest(happen)


def end_target_jobs(world: JobWorld) -> None:
    for name in world.names("Job"):
        condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
        world.objects["Job", name]["status"] = {"conditions": [condition]}


HAPPENINGS: dict[str, Callable[[JobWorld], None]] = {
    "nothing": lambda _: None,
    "a second": lambda world: world.wait(1),
    "a minute": lambda world: world.wait(61),
    "ten minutes": lambda world: world.wait(601),
    "cluster up": on_newest(lambda world, attempt: world.start(attempt)),
    "report": on_newest(report),
    "success": on_newest(
        lambda world, attempt: report(world, attempt, Outcome(result=OutcomeResult.SUCCEEDED))
    ),
    "user error": on_newest(
        lambda world, attempt: report(
            world,
            attempt,
            Outcome(result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR),
        )
    ),
    "crash": on_newest(
        lambda world, attempt: world.end(
            attempt, deployment="Failed", reason="AppFailed", job="FAILED"
        )
    ),
    "head lost": on_newest(
        lambda world, attempt: world.end(
            attempt, deployment="Failed", reason="AppFailed", job="RUNNING"
        )
    ),
    "ray job over": on_newest(
        lambda world, attempt: world.end(attempt, deployment="Complete", job="SUCCEEDED")
    ),
    "suspend or resume": toggle("suspend", first=True, second=False),
    "image edited": toggle("cluster", {"image": "a:1"}, {"image": "b:1"}),
    "invalid edit": toggle("cluster", {"head": {"template": {"hostPID": True}}}, {}),
    "more trials": lambda world: world.edit(stages={"search": {"numTrials": 30}, "train": {}}),
    "retry": lambda world: world.annotate("trimtab.dev/retry", str(world.now)),
    "evicted": set_suspend(True),
    "admitted": set_suspend(False),
    "rayjob deleted": remove_child("RayJob", ""),
    "spec deleted": remove_child("ConfigMap", "-a"),
    "report deleted": remove_child("ConfigMap", "-progress"),
    "role deleted": remove_child("Role", ""),
    "target job ended": end_target_jobs,
    "target job deleted": remove_child("Job", "-t-"),
    "status lost": lambda world: world.manifest.pop("status", None),
}
STORY = st.lists(
    st.tuples(st.sampled_from(sorted(HAPPENINGS)), st.none() | st.integers(0, 6)), max_size=25
)
HERE = [{"name": "host"}]
ELSEWHERE = [{"name": "edge", "nodeSelector": {"arch": "arm64"}}]


def pass_once(world: JobWorld, killed_after: int | None) -> None:
    """Run a pass and look at the rules that hold at every moment."""
    before, highest = live_rayjobs(world), newest(world) or 0
    planned = world.step(most_actions=killed_after)
    made = [
        action.manifest["metadata"]["name"]
        for action in planned.actions
        if isinstance(action, Apply) and action.manifest["kind"] == "RayJob"
    ]
    assert len(made) <= 1
    assert len(live_rayjobs(world)) <= 1
    if made and made[0] not in before and int(made[0].rpartition("-a")[2]) != highest:
        assert before == [], "an attempt was made beside one that may run"


@SETTINGS
@given(story=STORY, targets=st.sampled_from([HERE, ELSEWHERE]))
def test_f01_two_attempts_are_never_planned_at_once(
    story: list[tuple[str, int | None]], targets: list[dict[str, Any]]
) -> None:
    world = JobWorld(make_manifest(backoffLimit=2, targets=targets))
    for happening, killed_after in story:
        HAPPENINGS[happening](world)
        pass_once(world, killed_after)


@SETTINGS
@given(story=STORY, targets=st.sampled_from([HERE, ELSEWHERE]))
def test_f04_passes_come_to_rest_and_then_write_nothing(
    story: list[tuple[str, int | None]], targets: list[dict[str, Any]]
) -> None:
    world = JobWorld(make_manifest(backoffLimit=2, targets=targets))
    for happening, killed_after in story:
        HAPPENINGS[happening](world)
        pass_once(world, killed_after)
        planned = world.settle()
        assert planned.actions == ()
        assert world.plan() == planned


@SETTINGS
@given(story=STORY)
def test_f45_numbers_of_attempts_and_ends_on_record_never_go_backwards(
    story: list[tuple[str, int | None]],
) -> None:
    world = JobWorld(make_manifest(backoffLimit=2))
    attempt, causes = 0, dict[str, EndCause]()
    for happening, killed_after in story:
        if happening in {"status lost", "spec deleted"}:
            continue  # what remembers is gone
        HAPPENINGS[happening](world)
        pass_once(world, killed_after)
        world.step()
        assert (world.status.attempt or 0) >= attempt
        attempt = world.status.attempt or 0
        for name in world.names("ConfigMap"):
            notes = world.objects["ConfigMap", name]["metadata"].get("annotations", {})
            end = parse_record(notes.get(ANNOTATION_RECORD)).end
            before = causes.get(name)
            if before is not None and before is not EndCause.FINISHED:
                assert end is not None
                assert end.cause is before
            if end is not None:
                causes[name] = end.cause


@SETTINGS
@given(killed_after=st.lists(st.integers(0, 8), min_size=1, max_size=12), data=st.data())
def test_f01_a_killed_operator_leaves_what_an_undisturbed_run_leaves(
    killed_after: list[int], data: st.DataObject
) -> None:
    crash = data.draw(st.booleans())
    worlds = [JobWorld(make_manifest(backoffLimit=2)), JobWorld(make_manifest(backoffLimit=2))]
    for world, kills in zip(worlds, (killed_after, []), strict=True):
        for kill in kills:
            world.step(most_actions=kill)
        world.settle()
        world.start(1)
        if crash:
            world.end(1, deployment="Failed", reason="AppFailed", job="FAILED")
        else:
            report(world, 1, Outcome(result=OutcomeResult.SUCCEEDED))
            world.end(1, deployment="Complete", job="SUCCEEDED")
        for kill in kills:
            world.step(most_actions=kill)
        world.settle()
        world.wait(60)
        for kill in kills:
            world.step(most_actions=kill)
        world.settle()
    disturbed, undisturbed = worlds
    assert sorted(disturbed.objects) == sorted(undisturbed.objects)
    assert disturbed.status.attempt == undisturbed.status.attempt
    assert disturbed.plan().verdict.phase is undisturbed.plan().verdict.phase
    assert disturbed.plan().verdict.phase is (Phase.STARTING if crash else Phase.COMPLETE)
