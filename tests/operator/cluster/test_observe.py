"""A job is seen from the watches, and anew before a write: strangers and missing kinds included."""

import asyncio
import json
from typing import Any

import yaml

from fake_cluster import FakeCluster, open_client, serve_cluster
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.claims import ClaimBook
from trimtab_operator.cluster.kinds import (
    CLAIM,
    CONFIG_MAP,
    JOB,
    OPTIMIZATION_JOB,
    POD,
    RAY_JOB,
    ApiKind,
)
from trimtab_operator.cluster.observe import Observer, Sighting
from trimtab_operator.reconcile.actions import Kind

KEY = JobKey("team", "digits")
SPEC = yaml.safe_load(
    """
model: {builtin: mlp}
dataset: {imageFolder: "pvc://data/flowers", imageSize: 32}
stages: {train: {epochs: 1}}
"""
)


def make_child(name: str, *, owner: str = "uid-digits", **parts: Any) -> dict[str, Any]:
    labels = {"trimtab.dev/job": "digits", "trimtab.dev/job-uid": owner, "trimtab.dev/attempt": "1"}
    return {"metadata": {"name": name, "namespace": "team", "labels": labels}, **parts}


class Scene:
    """A cluster with the job `digits`, and an observer of it."""

    def __init__(self, cluster: FakeCluster, observer: Observer, cache: WatchCache) -> None:
        self.cluster, self.observer, self.cache = cluster, observer, cache
        self.seconds = 0.0
        self.watch(
            OPTIMIZATION_JOB, {"metadata": {"name": "digits", "namespace": "team"}, "spec": SPEC}
        )

    def watch(self, kind: ApiKind, document: dict[str, Any]) -> None:
        """Add an object and let the watch tell of it."""
        self.cache.put(kind, self.cluster.add(kind, document))

    async def see(self) -> Sighting:
        sighting = await self.observer.observe(KEY)
        assert sighting is not None
        return sighting

    async def see_anew(self, *touched: tuple[str, str]) -> Sighting:
        sighting = await self.observer.observe_anew(KEY, touched)
        assert sighting is not None
        return sighting


def run(scenario: Any) -> None:
    async def start() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cache = WatchCache()
            scenes: list[Scene] = []
            observer = Observer(
                client,
                cache,
                ClaimBook(client, keep_seconds=30),
                storage_default="pvc://runs/all",
                monotonic=lambda: scenes[0].seconds,
            )
            scenes.append(Scene(cluster, observer, cache))
            await scenario(scenes[0])

    asyncio.run(start())


def test_a_converged_job_is_seen_without_a_request_but_for_its_claims() -> None:
    async def scenario(scene: Scene) -> None:
        scene.cluster.add(CLAIM, {"metadata": {"name": "data", "namespace": "team"}})
        scene.watch(RAY_JOB, make_child("digits-a1", spec={}))
        scene.watch(CONFIG_MAP, make_child("digits-progress", data={}))
        scene.watch(POD, make_child("head", status={"phase": "Running"}))
        seen = (await scene.see()).observed
        assert [rayjob.attempt for rayjob in seen.rayjobs] == [1]
        assert [pod.phase for pod in seen.pods] == ["Running"]
        assert set(seen.objects) == {(Kind.CONFIG_MAP, "digits-progress")}
        assert seen.claims == {"data"}
        paths = {call.path for call in scene.cluster.calls}
        assert paths == {CLAIM.path("team", name) for name in ("data", "runs")}

    run(scenario)


def test_a_job_that_is_gone_is_seen_as_nothing() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.see()
        scene.cluster.objects.clear()
        assert await scene.observer.observe_anew(KEY, ()) is None
        assert await scene.observer.observe(KEY) is None
        scene.observer.forget(KEY)
        assert scene.observer._memory == {}

    run(scenario)


def test_f03_what_the_watch_shows_too_late_is_gone_when_looked_at_anew() -> None:
    async def scenario(scene: Scene) -> None:
        scene.watch(RAY_JOB, make_child("digits-a1", spec={}))
        scene.watch(CONFIG_MAP, make_child("digits-progress", data={}))
        del scene.cluster.objects[RAY_JOB.path("team", "digits-a1")]
        del scene.cluster.objects[CONFIG_MAP.path("team", "digits-progress")]
        assert (await scene.see()).observed.rayjobs
        seen = (await scene.see_anew(("ConfigMap", "digits-progress"))).observed
        assert seen.rayjobs == ()
        assert seen.objects == {}

    run(scenario)


def test_f03_what_no_event_told_yet_is_there_when_looked_at_anew() -> None:
    async def scenario(scene: Scene) -> None:
        scene.cluster.add(RAY_JOB, make_child("digits-a1", spec={}))
        sighting = await scene.see_anew(("RayJob", "digits-a1"))
        assert [rayjob.attempt for rayjob in sighting.observed.rayjobs] == [1]
        assert sighting.uids["RayJob", "digits-a1"] == "uid-digits-a1"

    run(scenario)


def test_f18_a_stranger_under_a_childs_name_is_seen_and_not_taken_for_a_child() -> None:
    async def scenario(scene: Scene) -> None:
        scene.cluster.add(RAY_JOB, {"metadata": {"name": "digits-a1", "namespace": "team"}})
        seen = (await scene.see_anew(("RayJob", "digits-a1"))).observed
        assert seen.rayjobs == ()
        assert set(seen.objects) == {(Kind.RAY_JOB, "digits-a1")}
        assert (await scene.see()).observed.objects == {}

    run(scenario)


def test_f21_children_of_the_old_job_of_this_name_are_strangers() -> None:
    async def scenario(scene: Scene) -> None:
        scene.watch(CONFIG_MAP, make_child("digits-progress", owner="uid-of-the-old", data={}))
        assert (await scene.see()).observed.objects == {}
        seen = (await scene.see_anew(("ConfigMap", "digits-progress"))).observed
        assert set(seen.objects) == {(Kind.CONFIG_MAP, "digits-progress")}

    run(scenario)


def test_f17_a_rayjob_whose_labels_were_taken_away_is_not_taken_for_deleted() -> None:
    async def scenario(scene: Scene) -> None:
        scene.watch(CONFIG_MAP, make_child("digits-a1", data={}))
        owner = {"kind": "OptimizationJob", "name": "digits", "uid": "uid-digits"}
        metadata = {"name": "digits-a1", "namespace": "team"}
        bare = {**metadata, "ownerReferences": [{**owner, "controller": True}]}
        scene.cluster.add(RAY_JOB, {"metadata": bare, "spec": {}})
        for touched in ((), (("RayJob", "digits-a1"),)):
            seen = await scene.see_anew(*touched)
            assert [rayjob.attempt for rayjob in seen.observed.rayjobs] == [1]
            assert set(seen.observed.objects) == {(Kind.CONFIG_MAP, "digits-a1")}
            assert seen.uids["RayJob", "digits-a1"] == "uid-digits-a1"

    run(scenario)


def test_f37_absent_kuberay_is_a_problem_until_it_comes() -> None:
    async def scenario(scene: Scene) -> None:
        root = RAY_JOB.path(None).removesuffix("/rayjobs")
        scene.cluster.absent = {root}
        missing = (await scene.see_anew(("RayJob", "digits-a1"))).observed.kuberay_problem
        assert missing is not None
        assert "install KubeRay" in missing
        scene.cluster.absent = set()
        assert (await scene.see_anew()).observed.kuberay_problem is None

    run(scenario)


def test_the_submitters_job_is_no_target() -> None:
    async def scenario(scene: Scene) -> None:
        scene.watch(JOB, make_child("digits-a1-submitter"))
        assert (await scene.see()).observed.target_jobs == ()

    run(scenario)


def test_f47_silence_is_measured_while_no_sequence_grows() -> None:
    def make_report(sequence: int) -> dict[str, Any]:
        report = {"schema": 1, "uid": "uid-digits", "attempt": 1, "sequence": sequence}
        return make_child("digits-progress", data={"progress.json": json.dumps(report)})

    async def scenario(scene: Scene) -> None:
        scene.watch(RAY_JOB, make_child("digits-a1", spec={}))
        scene.watch(CONFIG_MAP, make_report(1))
        assert (await scene.see()).observed.silent_seconds == 0.0
        scene.seconds = 130.0
        assert (await scene.see()).observed.silent_seconds == 130.0
        scene.watch(CONFIG_MAP, make_report(2))
        assert (await scene.see()).observed.silent_seconds == 0.0

    run(scenario)


def test_f45_a_report_that_goes_back_is_told_once_and_changes_nothing() -> None:
    def make_report(sequence: int) -> dict[str, Any]:
        report = {"schema": 1, "uid": "uid-digits", "attempt": 1, "sequence": sequence}
        return make_child("digits-progress", data={"progress.json": json.dumps(report)})

    async def scenario(scene: Scene) -> None:
        scene.watch(RAY_JOB, make_child("digits-a1", spec={}))
        scene.watch(CONFIG_MAP, make_report(7))
        await scene.see()
        scene.watch(CONFIG_MAP, make_report(3))
        sighting = await scene.see()
        assert sighting.stale is not None
        assert sighting.observed.report.progress is not None
        assert sighting.observed.report.progress.sequence == 7

    run(scenario)
