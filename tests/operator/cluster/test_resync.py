"""What the watches missed is found by lists, read once, and named by job."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from fake_cluster import FakeCluster, open_client, serve_cluster
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import UnavailableError
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, POD, RAY_JOB, WATCHED_KINDS
from trimtab_operator.cluster.resync import Resync

JOB = JobKey("team", "job")


def make_pod(name: str) -> dict[str, Any]:
    labels = {"trimtab.dev/job-uid": "uid-job", "trimtab.dev/job": "job"}
    return {"metadata": {"name": name, "namespace": "team", "labels": labels}}


def fill(cluster: FakeCluster, cache: WatchCache) -> None:
    cache.put(
        OPTIMIZATION_JOB,
        cluster.add(OPTIMIZATION_JOB, {"metadata": {"name": "job", "namespace": "team"}}),
    )
    cache.put(POD, cluster.add(POD, make_pod("head")))


def run(scenario: Any) -> Any:
    async def start() -> Any:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            return await scenario(cluster, client, WatchCache())

    return asyncio.run(start())


def test_f04_nothing_is_read_where_nothing_changed() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        fill(cluster, cache)
        assert await Resync(client, cache).run() == frozenset()
        assert len(cluster.calls) == len(WATCHED_KINDS)
        assert cluster.writes() == []

    run(scenario)


def test_f02_a_missed_addition_change_and_deletion_are_each_found() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        fill(cluster, cache)
        resync = Resync(client, cache)
        cluster.add(POD, make_pod("worker"))
        assert await resync.run() == {JOB}
        cluster.add(POD, make_pod("worker"))
        assert await resync.run() == {JOB}
        del cluster.objects[POD.path("team", "worker")]
        assert await resync.run() == {JOB}
        assert cache.find(POD, "team", "worker") is None
        assert await resync.run() == frozenset()

    run(scenario)


def test_with_namespaces_only_these_are_compared_and_one_that_is_closed_hides_no_other() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        fill(cluster, cache)
        resync = Resync(client, cache, namespaces=("closed", "team"))
        cluster.answer = lambda call: (
            web.Response(status=403) if "/namespaces/closed/" in call.path else None
        )
        elsewhere = {"metadata": {"name": "job", "namespace": "elsewhere"}}
        cluster.add(OPTIMIZATION_JOB, elsewhere)
        cluster.add(POD, make_pod("worker"))
        assert await resync.run() == {JOB}
        assert len(resync.failures) == len(WATCHED_KINDS)
        assert await resync.run() == frozenset()
        assert {call.path for call in cluster.calls if "/namespaces/" not in call.path} == set()

    run(scenario)


def test_what_is_known_of_one_namespace_is_not_missed_in_another() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        fill(cluster, cache)
        assert await Resync(client, cache, namespaces=("other", "team")).run() == frozenset()
        assert cluster.calls[-1].path.endswith("/namespaces/team/pods")
        # Nothing was read again.
        assert len(cluster.calls) == 2 * len(WATCHED_KINDS)

    run(scenario)


def test_a_deleted_job_is_named_so_that_it_is_forgotten() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        fill(cluster, cache)
        del cluster.objects[OPTIMIZATION_JOB.path("team", "job")]
        assert await Resync(client, cache).run() == {JOB}
        assert list(cache.jobs()) == []

    run(scenario)


def test_f37_a_kind_that_is_not_served_is_known_as_absent_until_it_comes() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        root = RAY_JOB.path(None).removesuffix("/rayjobs")
        cluster.absent = {root}
        resync = Resync(client, cache)
        fill(cluster, cache)
        assert await resync.run() == {JOB}
        assert not cache.is_served(RAY_JOB)
        assert cache.is_served(POD)
        assert await resync.run() == frozenset()
        cluster.absent = set()
        assert await resync.run() == {JOB}
        assert cache.is_served(RAY_JOB)

    run(scenario)


def test_f06_a_watch_that_keeps_missing_changes_is_called_blind_until_an_event_comes() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        now = [0.0]
        resync = Resync(client, cache, monotonic=lambda: now[0])
        fill(cluster, cache)
        for now[0] in (10.0, 40.0, 70.0):
            cluster.add(POD, make_pod("head"))
            await resync.run()
        assert resync.blind_seconds() == 60.0
        resync.note_event(POD, "team")
        assert resync.blind_seconds() == 0.0

    run(scenario)


def test_f02_one_lost_event_makes_no_watch_blind() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        now = [10.0]
        resync = Resync(client, cache, monotonic=lambda: now[0])
        fill(cluster, cache)
        cluster.add(POD, make_pod("head"))
        await resync.run()
        now[0] = 500.0
        await resync.run()
        assert resync.blind_seconds() == 0.0

    run(scenario)


def test_f08_a_kind_that_cannot_be_listed_does_not_hide_the_others() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        fill(cluster, cache)
        cluster.add(POD, make_pod("worker"))
        busy = web.Response(status=503)
        cluster.answer = lambda call: busy if call.path.endswith("/rayjobs") else None
        resync = Resync(client, cache)
        assert await resync.run() == {JOB}
        assert len(resync.failures) == 1
        cluster.answer = lambda _: web.Response(status=503)
        with pytest.raises(UnavailableError):
            await resync.run()

    run(scenario)


def test_a_watch_is_current_by_an_event_or_by_a_list_without_news() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        now = [100.0]
        fill(cluster, cache)
        resync = Resync(client, cache, monotonic=lambda: now[0])
        now[0] = 130.0
        cluster.add(POD, make_pod("worker"))
        await resync.run()
        ages = resync.watch_ages()
        assert ages.keys() == {kind.resource for kind in WATCHED_KINDS}
        assert (ages["pods"], ages["rayjobs.ray.io"]) == (30.0, 0.0)
        now[0] = 135.0
        resync.note_event(POD, "team")
        assert resync.watch_ages()["pods"] == 0.0
        assert resync.watch_ages()["rayjobs.ray.io"] == 5.0

    run(scenario)


def test_a_namespace_that_cannot_be_compared_makes_the_watch_old_whatever_the_others_tell() -> None:
    async def scenario(cluster: FakeCluster, client: Client, cache: WatchCache) -> None:
        now = [100.0]
        fill(cluster, cache)
        resync = Resync(client, cache, namespaces=("closed", "team"), monotonic=lambda: now[0])
        cluster.answer = lambda call: (
            web.Response(status=403) if "/namespaces/closed/" in call.path else None
        )
        now[0] = 130.0
        await resync.run()
        resync.note_event(POD, "team")
        assert set(resync.watch_ages().values()) == {30.0}
        resync.note_event(POD, "closed")
        assert resync.watch_ages()["pods"] == 0.0

    run(scenario)
