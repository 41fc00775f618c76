"""kopf runs with safe settings, sees every kind, and health tells of blind watches and stuck passes."""

import asyncio
from typing import Any

import kopf
import pytest
from kopf._core.engines.peering import detect_own_id

from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.kinds import CHILD_KINDS, POD, WATCHED_KINDS
from trimtab_operator.handlers import process
from trimtab_operator.handlers.process import (
    Machinery,
    build_kopf_settings,
    build_registry,
    check_health,
    run_operator,
)
from trimtab_operator.handlers.workqueue import Backoff, WorkQueue


class StubResync:
    """A resync that says what a test wants."""

    def __init__(self) -> None:
        self.blind = 0.0
        self.noted: list[tuple[str, str]] = []

    def blind_seconds(self) -> float:
        return self.blind

    def note_event(self, kind: Any, namespace: str) -> None:
        self.noted.append((kind.name, namespace))


class StubQueue:
    """A queue that keeps what is put in."""

    def __init__(self) -> None:
        self.added: list[JobKey] = []
        self.longest = 0.0

    def add(self, key: JobKey) -> None:
        self.added.append(key)

    def longest_pass(self) -> float:
        return self.longest


def make_machinery() -> tuple[Machinery, Any, Any]:
    queue: Any = StubQueue()
    resync: Any = StubResync()
    machinery = Machinery(cache=WatchCache(), queue=queue, resync=resync, resync_seconds=1.0)
    return machinery, queue, resync


def test_every_kind_is_indexed_and_watched_and_nothing_else_is_asked_of_kopf() -> None:
    registry = build_registry(make_machinery()[0])
    plurals = {kind.plural for kind in WATCHED_KINDS}
    for part in (registry._indexing, registry._watching):
        assert {
            str(handler.id).rpartition("-")[2] for handler in part.get_all_handlers()
        } == plurals
    assert list(registry._changing.get_all_handlers()) == []
    assert list(registry._spawning.get_all_handlers()) == []


def test_children_are_watched_by_the_label_of_their_job() -> None:
    selectors = build_kopf_settings(70.0).watching.label_selectors
    assert len(selectors) == len(CHILD_KINDS)
    assert set(selectors.values()) == {"trimtab.dev/job-uid"}


def test_f05_kopf_tries_for_more_than_two_minutes_and_differently_each_time() -> None:
    pauses = build_kopf_settings(70.0).networking.error_backoffs
    assert not isinstance(pauses, float)
    first, second = list(pauses), list(pauses)
    assert sum(first) > 100
    assert first != second


def test_kopf_copies_and_remembers_nothing_of_what_it_saw() -> None:
    storage = build_kopf_settings(70.0).persistence.diffbase_storage
    body = kopf.Body(make_pod())
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None


def find_handler(registry: kopf.OperatorRegistry, part: str, name: str) -> Any:
    handlers = getattr(registry, part).get_all_handlers()
    return next(handler.fn for handler in handlers if handler.id == name)


def make_pod(version: int = 1) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "head",
            "namespace": "team",
            "uid": "u",
            "resourceVersion": str(version),
            "labels": {"trimtab.dev/job": "digits", "trimtab.dev/job-uid": "uid"},
        }
    }


def test_an_event_on_a_child_brings_up_its_job() -> None:
    machinery, queue, resync = make_machinery()
    registry = build_registry(machinery)
    keep = find_handler(registry, "_indexing", "keep-pods")
    enqueue = find_handler(registry, "_watching", "enqueue-pods")

    async def scenario() -> None:
        assert await keep(body=kopf.Body(make_pod())) is None  # kopf keeps nothing itself
        assert machinery.cache.find(POD, "team", "head") is not None
        await enqueue(event={"type": "ADDED", "object": make_pod()})
        assert queue.added == [JobKey("team", "digits")]
        assert resync.noted == [("Pod", "team")]
        await enqueue(event={"type": "DELETED", "object": make_pod(2)})
        assert machinery.cache.find(POD, "team", "head") is None
        assert len(queue.added) == 2

    asyncio.run(scenario())


def test_f04_what_the_operator_wrote_itself_brings_up_nothing() -> None:
    machinery, queue, resync = make_machinery()
    enqueue = find_handler(build_registry(machinery), "_watching", "enqueue-pods")
    machinery.cache.put(POD, make_pod(), is_written=True)
    asyncio.run(enqueue(event={"type": "MODIFIED", "object": make_pod()}))
    assert queue.added == []
    assert resync.noted == [("Pod", "team")]
    asyncio.run(enqueue(event={"type": "MODIFIED", "object": make_pod(2)}))
    asyncio.run(enqueue(event={"type": "DELETED", "object": make_pod()}))
    assert len(queue.added) == 2


def test_an_event_on_a_job_brings_up_the_job() -> None:
    machinery, queue, _ = make_machinery()
    enqueue = find_handler(build_registry(machinery), "_watching", "enqueue-optimizationjobs")
    job = {"metadata": {"name": "digits", "namespace": "team", "uid": "u"}}
    asyncio.run(enqueue(event={"type": "MODIFIED", "object": job}))
    assert queue.added == [JobKey("team", "digits")]


def test_f06_health_is_lost_when_a_watch_stays_blind_or_a_pass_hangs() -> None:
    machinery, queue, resync = make_machinery()
    assert check_health(machinery) == {"blindSeconds": 0.0, "longestPassSeconds": 0.0}
    resync.blind = 200.0
    with pytest.raises(kopf.PermanentError, match="missing changes for 200 s"):
        check_health(machinery)
    resync.blind, queue.longest = 0.0, 301.0
    with pytest.raises(kopf.PermanentError, match="running for 301 s"):
        check_health(machinery)


def test_the_queue_of_the_operator_needs_a_running_loop_only_to_run() -> None:
    async def work(key: JobKey) -> None:
        return None

    queue = WorkQueue(work, Backoff(first=1.0, longest=2.0))
    queue.add(JobKey("team", "digits"))
    assert queue.depth() == 1


def test_it_runs_as_a_user_that_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod the user is a number; kopf asks for its name unless it is told who it is."""

    def refuse() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    async def say_who_runs(**_: Any) -> list[asyncio.Task[None]]:
        monkeypatch.setattr("getpass.getuser", refuse)
        identities.append(detect_own_id(manual=False))
        return [asyncio.create_task(asyncio.sleep(0))]

    async def wait_for_all(roots: list[asyncio.Task[None]], **_: Any) -> None:
        await asyncio.wait(roots)

    identities: list[str] = []
    monkeypatch.setenv("POD_ID", "")  # so that it is taken away again
    monkeypatch.delenv("POD_ID")
    monkeypatch.setattr(kopf, "spawn_tasks", say_who_runs)
    monkeypatch.setattr(kopf, "run_tasks", wait_for_all)
    asyncio.run(run_operator(make_idle(), health_port=0))
    assert identities == ["trimtab-operator"]


class IdleQueue(StubQueue):
    async def run(self, _: int) -> None:
        await asyncio.Event().wait()


def make_idle() -> Machinery:
    """Return the machinery of an operator that has nothing to do."""
    machinery, _, resync = make_machinery()
    queue: Any = IdleQueue()
    return Machinery(cache=machinery.cache, queue=queue, resync=resync, resync_seconds=60.0)


@pytest.mark.parametrize("namespaces", [(), ("vision", "speech")], ids=["all", "few"])
def test_kopf_watches_the_given_namespaces_or_the_whole_cluster(
    monkeypatch: pytest.MonkeyPatch, namespaces: tuple[str, ...]
) -> None:
    asked: list[dict[str, Any]] = []

    async def note(**options: Any) -> list[asyncio.Task[None]]:
        asked.append(options)
        return [asyncio.create_task(asyncio.sleep(0))]

    async def wait_for_all(roots: list[asyncio.Task[None]], **_: Any) -> None:
        await asyncio.wait(roots)

    monkeypatch.setattr(kopf, "spawn_tasks", note)
    monkeypatch.setattr(kopf, "run_tasks", wait_for_all)
    asyncio.run(run_operator(make_idle(), health_port=0, namespaces=namespaces))
    (options,) = asked
    assert options["namespaces"] == namespaces
    assert options["clusterwide"] == (not namespaces)


def test_f20_a_watch_that_fails_is_told_although_another_keeps_kopf_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise RuntimeError("404 page not found")

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("the other watch")

    async def start(**_: Any) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(fail()), asyncio.create_task(hang())]

    async def wait_for_all(roots: list[asyncio.Task[None]], **_: Any) -> None:
        await asyncio.wait(roots)

    monkeypatch.setattr(kopf, "spawn_tasks", start)
    monkeypatch.setattr(kopf, "run_tasks", wait_for_all)
    monkeypatch.setattr(process, "_END_SECONDS", 0.05)
    monkeypatch.setattr(process, "_MOST_FAILURES", 1)
    with pytest.raises(RuntimeError, match="404"):
        asyncio.run(run_operator(make_idle(), health_port=0))
    assert ended == ["the other watch"]
