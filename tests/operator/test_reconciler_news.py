"""A pass tells what happened: events once each, and figures for as long as the job is there."""

import json
from typing import Any

import pytest

from fake_cluster import refuse
from reconciler_stage import KEY, Stage, make_missing, make_progress_map, run_on_stage
from trimtab_api.events import EventReason
from trimtab_api.v1alpha1.status import JobState, Status
from trimtab_operator import reconciler as subject
from trimtab_operator.cluster.errors import InvalidObjectError
from trimtab_operator.cluster.kinds import CONFIG_MAP, OPTIMIZATION_JOB, RAY_JOB
from trimtab_operator.reconcile.actions import PostEvent


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

    run_on_stage(scenario, monkeypatch)


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
    config = {**make_progress_map(), "data": {"progress.json": json.dumps(report)}}
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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)


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

    run_on_stage(scenario, monkeypatch)
