"""A pass reads anew before it writes, says what it cannot do, and writes no more than it must."""

import pytest

from fake_cluster import refuse
from reconciler_stage import KEY, SPEC, Stage, make_missing, make_progress_map, run_on_stage
from trimtab_api.events import EventReason
from trimtab_api.v1alpha1.status import JobState, Status, TrialCounts
from trimtab_operator.cluster.errors import ClusterError, ForbiddenError
from trimtab_operator.cluster.kinds import CLAIM, CONFIG_MAP, OPTIMIZATION_JOB, POD
from trimtab_operator.reconcile.actions import Action, Apply, PostEvent
from trimtab_operator.reconcile.observed import Observed


def test_f04_a_converged_job_costs_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        await stage.reconcile()
        assert stage.cluster.find(CONFIG_MAP, "team", "digits-progress") is not None
        stage.cluster.calls.clear()
        assert await stage.reconcile() is None
        assert stage.cluster.calls == []

    run_on_stage(scenario, monkeypatch)


def test_f03_a_plan_is_made_again_from_what_the_server_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        stage.cluster.add(CONFIG_MAP, make_progress_map())  # no event told of it yet
        await stage.reconcile()
        assert [call for call in stage.cluster.writes() if "configmaps" in call] == []
        assert len(stage.decisions.seen) == 2

    run_on_stage(scenario, monkeypatch)


def test_a_plan_that_names_more_after_the_second_look_is_looked_at_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        other = make_progress_map()
        other["metadata"] = {**other["metadata"], "name": "digits-a1"}

        def decide(observed: Observed) -> tuple[Action, ...]:
            first = (Apply(make_progress_map()),)
            return first if len(stage.decisions.seen) == 1 else (*first, Apply(other))

        stage.decisions.decide = decide
        await stage.reconcile()
        reads = [call.path for call in stage.cluster.calls if call.method == "GET"]
        assert CONFIG_MAP.path("team", "digits-a1") in reads
        assert len(stage.decisions.seen) == 3

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


def test_f08_a_busy_server_changes_no_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.decide = make_missing
        stage.cluster.answer = lambda call: refuse(503, "busy") if call.is_write else None
        with pytest.raises(ClusterError):
            await stage.reconcile()
        assert stage.decisions.problems == []

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


def test_the_sooner_of_plan_and_status_decides_when_the_next_pass_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.requeue_after = 3.0
        assert await stage.reconcile() == 3.0

    run_on_stage(scenario, monkeypatch)


def test_a_pass_that_wrote_to_a_child_is_soon_followed_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.requeue_after = 300.0
        stage.decisions.decide = make_missing
        assert await stage.reconcile() == 1.0
        assert await stage.reconcile() == 300.0

    run_on_stage(scenario, monkeypatch)


def test_an_ignored_job_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        stage.decisions.say = lambda _: None
        await stage.reconcile()
        assert stage.cluster.writes() == []

    run_on_stage(scenario, monkeypatch)


def test_f21_a_status_never_goes_to_a_job_that_was_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(stage: Stage) -> None:
        stored = stage.cluster.objects[OPTIMIZATION_JOB.path(*KEY)]
        metadata = {**stored["metadata"], "uid": "uid-of-the-new"}
        stage.cluster.add(OPTIMIZATION_JOB, {**stored, "metadata": metadata})
        assert await stage.reconcile() == 0.0
        assert stage.status() is None
        await stage.reconcile()
        assert stage.decisions.seen[-1].job.meta.uid == "uid-of-the-new"

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)
