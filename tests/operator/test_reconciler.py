"""A pass reads anew before it writes, says what it cannot do, and writes no more than it must."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fake_cluster import FakeCluster, open_client, refuse, serve_cluster
from trimtab_api.events import EventReason
from trimtab_api.v1alpha1.conditions import AcceptedReason
from trimtab_api.v1alpha1.status import JobState, Status, TrialCounts
from trimtab_operator import reconciler as subject
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.claims import ClaimBook
from trimtab_operator.cluster.errors import ClusterError, ForbiddenError, InvalidObjectError
from trimtab_operator.cluster.kinds import CLAIM, CONFIG_MAP, EVENT, OPTIMIZATION_JOB, POD, RAY_JOB
from trimtab_operator.cluster.observe import Observer
from trimtab_operator.reconcile.actions import Action, Apply, PostEvent
from trimtab_operator.reconcile.observed import Observed
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.verdict import Acceptance, Phase, Plan, Problem, Refusal, Verdict
from trimtab_operator.reconciler import Pace, Reconciler
from trimtab_operator.resources.child_settings import ChildSettings
from trimtab_operator.telemetry.metrics import JobBoard

KEY = JobKey("team", "digits")
SPEC = {"model": {"builtin": "mlp"}, "dataset": {"builtin": "digits"}, "stages": {"train": {}}}


def make_manifest() -> dict[str, Any]:
    labels = {"trimtab.dev/job": "digits", "trimtab.dev/job-uid": "uid-digits"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "digits-progress", "namespace": "team", "labels": labels},
        "data": {"control.json": "{}"},
    }


@dataclass
class Decisions:
    """Stands for the planner: what it is to decide, and what it was shown."""

    decide: Callable[[Observed], tuple[Action, ...]] = lambda _: ()
    say: Callable[[Observed], Status | None] = lambda _: Status(state=JobState.PENDING)
    seen: list[Observed] = field(default_factory=list)
    problems: list[Problem | Refusal | None] = field(default_factory=list)
    requeue_after: float | None = None

    def plan(self, observed: Observed, *_: object) -> Plan:
        self.seen.append(observed)
        verdict = Verdict(
            phase=Phase.STARTING, acceptance=Acceptance(AcceptedReason.SPEC_ACCEPTED), attempt=1
        )
        return Plan(
            actions=self.decide(observed), verdict=verdict, requeue_after=self.requeue_after
        )

    def next_status(self, observed: Observed, *others: object) -> Status | None:
        *_, problem = others
        assert problem is None or isinstance(problem, Problem | Refusal)
        self.problems.append(problem)
        status = self.say(observed)
        return (
            status if problem is None or status is None else Status(message=problem.message[:256])
        )


@dataclass
class Stage:
    """One job, one reconciler, one clock."""

    cluster: FakeCluster
    cache: WatchCache
    decisions: Decisions
    reconciler: Reconciler
    board: JobBoard = field(default_factory=JobBoard)
    seconds: float = 0.0

    async def reconcile(self) -> float | None:
        return await self.reconciler.reconcile(KEY)

    def status(self) -> Any:
        found = self.cluster.find(OPTIMIZATION_JOB, *KEY)
        assert found is not None
        return found.get("status")

    def events(self) -> list[tuple[str, str]]:
        return [
            (stored["reason"], stored["message"])
            for path, stored in self.cluster.objects.items()
            if path.startswith(EVENT.path("team"))
        ]


def run(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decisions = Decisions()
    monkeypatch.setattr(subject, "plan", decisions.plan)
    monkeypatch.setattr(subject, "next_status", decisions.next_status)

    async def start() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cache, board = WatchCache(), JobBoard()
            stages: list[Stage] = []
            reconciler = Reconciler(
                client,
                cache,
                Observer(client, cache, ClaimBook(client, keep_seconds=30), storage_default=None),
                settings=PlanSettings(children=ChildSettings(image="trainer:1")),
                pace=Pace(status=15.0, event=300.0),
                board=board,
                monotonic=lambda: stages[0].seconds,
            )
            stages.append(Stage(cluster, cache, decisions, reconciler, board))
            document = {"metadata": {"name": "digits", "namespace": "team"}, "spec": SPEC}
            cache.put(OPTIMIZATION_JOB, cluster.add(OPTIMIZATION_JOB, document))
            await scenario(stages[0])

    asyncio.run(start())


def make_missing(observed: Observed) -> tuple[Action, ...]:
    return () if observed.objects else (Apply(make_manifest()),)


def test_f04_a_converged_job_costs_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        await stage.reconcile()
        assert stage.cluster.find(CONFIG_MAP, "team", "digits-progress") is not None
        stage.cluster.calls.clear()
        assert await stage.reconcile() is None
        assert stage.cluster.calls == []

    run(scenario, monkeypatch)


def test_f03_a_plan_is_made_again_from_what_the_server_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        stage.cluster.add(CONFIG_MAP, make_manifest())  # no event told of it yet
        await stage.reconcile()
        assert [call for call in stage.cluster.writes() if "configmaps" in call] == []
        assert len(stage.decisions.seen) == 2

    run(scenario, monkeypatch)


def test_a_plan_that_names_more_after_the_second_look_is_looked_at_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        other = make_manifest()
        other["metadata"] = {**other["metadata"], "name": "digits-a1"}

        def decide(observed: Observed) -> tuple[Action, ...]:
            first = (Apply(make_manifest()),)
            return first if len(stage.decisions.seen) == 1 else (*first, Apply(other))

        stage.decisions.decide = decide
        await stage.reconcile()
        reads = [call.path for call in stage.cluster.calls if call.method == "GET"]
        assert CONFIG_MAP.path("team", "digits-a1") in reads
        assert len(stage.decisions.seen) == 3

    run(scenario, monkeypatch)


def test_f09_a_missing_right_becomes_a_problem_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        created = PostEvent(EventReason.CLUSTER_CREATED, "RayJob digits-a1 was created")
        stage.decisions.decide = lambda seen: (*make_missing(seen), created)
        stage.cluster.answer = lambda call: (
            refuse(403, "no") if call.is_write and "configmaps" in call.path else None
        )
        with pytest.raises(ForbiddenError):
            await stage.reconcile()
        assert "patch configmaps team/digits-progress" in stage.status()["message"]
        ((reason, message),) = stage.events()
        assert reason == "Degraded"
        assert message.startswith("Forbidden: ")
        stage.cluster.answer = lambda _: None
        await stage.reconcile()
        assert stage.decisions.problems[-1] is None
        assert [reason for reason, _ in stage.events()] == ["Degraded", "ClusterCreated"]

    run(scenario, monkeypatch)


def test_f08_a_busy_server_changes_no_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        stage.cluster.answer = lambda call: refuse(503, "busy") if call.is_write else None
        with pytest.raises(ClusterError):
            await stage.reconcile()
        assert stage.decisions.problems == []

    run(scenario, monkeypatch)


def test_f72_figures_wait_their_turn_and_a_change_of_state_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        def say(number: int, state: JobState = JobState.RUNNING) -> None:
            trials = TrialCounts(summary=f"{number}/9", total=9, running=0, succeeded=number)
            stage.decisions.say = lambda _: Status(state=state, trials=trials)

        say(1)
        assert await stage.reconcile() is None
        say(2)
        stage.seconds = 5.0
        assert await stage.reconcile() == 10.0
        assert stage.status()["trials"]["succeeded"] == 1
        say(3, JobState.COMPLETE)
        assert await stage.reconcile() is None
        assert stage.status()["trials"]["succeeded"] == 3
        say(4, JobState.COMPLETE)
        stage.seconds = 21.0
        assert await stage.reconcile() is None
        assert stage.status()["trials"]["succeeded"] == 4

    run(scenario, monkeypatch)


def test_the_sooner_of_plan_and_status_decides_when_the_next_pass_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.requeue_after = 3.0
        assert await stage.reconcile() == 3.0

    run(scenario, monkeypatch)


def test_a_pass_that_wrote_to_a_child_is_soon_followed_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.requeue_after = 300.0
        stage.decisions.decide = make_missing
        assert await stage.reconcile() == 1.0
        assert await stage.reconcile() == 300.0

    run(scenario, monkeypatch)


def test_an_ignored_job_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.say = lambda _: None
        await stage.reconcile()
        assert stage.cluster.writes() == []

    run(scenario, monkeypatch)


def test_f21_a_status_never_goes_to_a_job_that_was_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.cluster.objects[OPTIMIZATION_JOB.path(*KEY)]["metadata"]["uid"] = "uid-of-the-new"
        assert await stage.reconcile() == 0.0
        assert stage.status() is None
        await stage.reconcile()
        assert stage.decisions.seen[-1].job.meta.uid == "uid-of-the-new"

    run(scenario, monkeypatch)


def test_f03_a_status_from_an_old_version_never_replaces_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        later = {"state": "Running", "attempt": 2}
        stored = stage.cluster.objects[OPTIMIZATION_JOB.path(*KEY)]
        stage.cluster.add(OPTIMIZATION_JOB, {**stored, "status": later})  # no event told of it
        assert await stage.reconcile() == 0.0
        assert stage.status() == later
        stage.decisions.say = lambda observed: observed.job.previous
        assert await stage.reconcile() is None
        assert stage.status() == later
        assert stage.decisions.seen[-1].job.previous == Status.model_validate(later)

    run(scenario, monkeypatch)


@pytest.mark.parametrize("claim_is_asked_for", [True, False])
def test_f09_what_may_not_be_read_is_told_and_nothing_else_is_written(
    monkeypatch: pytest.MonkeyPatch, claim_is_asked_for: bool
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        kind = CLAIM if claim_is_asked_for else POD
        refused = f"/{kind.plural}"
        stored = stage.cluster.objects[OPTIMIZATION_JOB.path(*KEY)]
        spec = {**SPEC, "storage": {"uri": "pvc://runs/all"}} if claim_is_asked_for else SPEC
        stage.cache.put(
            OPTIMIZATION_JOB, stage.cluster.add(OPTIMIZATION_JOB, {**stored, "spec": spec})
        )
        stage.cluster.answer = lambda call: refuse(403, "no") if refused in call.path else None
        with pytest.raises(ForbiddenError):
            await stage.reconcile()
        assert f"{kind.plural} team" in stage.status()["message"]
        assert [reason for reason, _ in stage.events()] == ["Degraded"]
        assert stage.cluster.find(CONFIG_MAP, "team", "digits-progress") is None
        if claim_is_asked_for:
            assert stage.decisions.seen[-1].claims == {"runs"}

    run(scenario, monkeypatch)


def test_f15_an_event_is_posted_once_and_its_failure_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = lambda _: (PostEvent(EventReason.RETRYING, "attempt 2"),)
        await stage.reconcile()
        await stage.reconcile()
        assert stage.events() == [("Retrying", "attempt 2")]
        stage.seconds = 301.0
        stage.cluster.answer = lambda call: refuse(500, "no") if "events" in call.path else None
        assert await stage.reconcile() is None

    run(scenario, monkeypatch)


def report_on(stage: Stage, **fields: Any) -> None:
    """Report as the driver of the first attempt."""
    labels = {"trimtab.dev/job": "digits", "trimtab.dev/job-uid": "uid-digits"}
    rayjob = {
        "metadata": {
            "name": "digits-a1",
            "namespace": "team",
            "labels": {**labels, "trimtab.dev/attempt": "1"},
        },
        "spec": {},
    }
    stage.cache.put(RAY_JOB, stage.cluster.add(RAY_JOB, rayjob))
    report = {"schema": 1, "uid": "uid-digits", "attempt": 1, "sequence": 1, **fields}
    config = {**make_manifest(), "data": {"progress.json": json.dumps(report)}}
    stage.cache.put(CONFIG_MAP, stage.cluster.add(CONFIG_MAP, config))


@pytest.mark.parametrize(
    ("fields", "has_age"), [({}, True), ({"outcome": {"result": "Succeeded"}}, False)]
)
def test_a_report_ages_until_its_driver_tells_the_end(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], has_age: bool
) -> None:
    """Targets elsewhere may be measured for long after it, and nobody is silent then."""

    async def scenario(stage: Stage) -> None:
        report_on(stage, **fields)
        await stage.reconcile()
        (page,) = stage.board.pages()
        assert (page.reported_at is not None) is has_age

    run(scenario, monkeypatch)


def test_events_of_a_report_are_posted_once_also_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        event = {"id": 0, "type": "Normal", "reason": "NewBest", "message": "trial 3 has 0.97"}
        report_on(stage, events=[event])
        await stage.reconcile()
        assert stage.events() == [("NewBest", "trial 3 has 0.97")]
        stage.reconciler._memory.clear()
        stage.reconciler._limiter.forget("uid-digits")
        await stage.reconcile()
        assert stage.events() == [("NewBest", "trial 3 has 0.97")]

    run(scenario, monkeypatch)


def test_f73_a_job_that_is_gone_leaves_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = lambda _: (PostEvent(EventReason.RETRYING, "attempt 2"),)
        await stage.reconcile()
        known = stage.cache.find(OPTIMIZATION_JOB, *KEY)
        assert known is not None
        stage.cache.remove(OPTIMIZATION_JOB, known)
        assert await stage.reconcile() is None
        assert stage.reconciler._memory == {}
        assert stage.reconciler._limiter._last == {}

    run(scenario, monkeypatch)


def test_f30_what_the_server_refuses_is_an_event_with_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        stage.cluster.answer = lambda call: (
            refuse(422, "data is invalid") if call.is_write and "configmaps" in call.path else None
        )
        for _ in range(2):
            with pytest.raises(InvalidObjectError):
                await stage.reconcile()
        words = "patch configmaps team/digits-progress: data is invalid"
        assert stage.events() == [("InvalidSpec", words)]
        assert stage.status()["message"] == words

    run(scenario, monkeypatch)


def test_f74_a_job_is_exported_from_its_first_pass_until_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.reconcile()
        (page,) = stage.board.pages()
        assert (page.namespace, page.name, page.state) == (*KEY, JobState.PENDING)
        known = stage.cache.find(OPTIMIZATION_JOB, *KEY)
        assert known is not None
        stage.cache.remove(OPTIMIZATION_JOB, known)
        await stage.reconcile()
        assert stage.board.pages() == ()

    run(scenario, monkeypatch)


def test_a_job_that_may_not_be_written_to_is_exported_as_its_status_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.say = lambda _: Status(state=JobState.RUNNING)
        await stage.reconcile()
        stage.decisions.say = lambda _: None
        await stage.reconcile()
        (page,) = stage.board.pages()
        assert page.state is JobState.RUNNING

    run(scenario, monkeypatch)


def test_f74_a_fault_of_the_exporter_stops_no_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_down(_: object) -> None:
        raise RuntimeError("no figures")

    async def scenario(stage: Stage) -> None:
        monkeypatch.setattr(subject, "build_page", break_down)
        stage.decisions.decide = make_missing
        await stage.reconcile()
        assert stage.cluster.find(CONFIG_MAP, "team", "digits-progress") is not None
        assert stage.status()["state"] == "Pending"
        assert stage.board.pages() == ()

    run(scenario, monkeypatch)
