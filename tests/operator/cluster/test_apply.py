"""A plan is carried out in order, up to the first failure, and never takes what is not ours."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from fake_cluster import FakeCluster, open_client, refuse, serve_cluster
from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_operator.cluster.apply import Applier, describe_problem
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.errors import (
    Conflict,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    Request,
)
from trimtab_operator.cluster.kinds import CONFIG_MAP, OPTIMIZATION_JOB, RAY_JOB
from trimtab_operator.reconcile.actions import Apply, Delete, DeleteJob, Kind
from trimtab_operator.reconcile.verdict import Problem, Refusal

JOB = JobKey("team", "digits")
LABELS = {"trimtab.dev/job": "digits", "trimtab.dev/job-uid": "uid-digits"}


def make_manifest(name: str = "digits-progress", data: str = "{}") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team", "labels": LABELS},
        "data": {"control.json": data},
    }


def run(scenario: Any) -> Any:
    async def start() -> Any:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cache = WatchCache()
            return await scenario(cluster, Applier(client, cache), cache)

    return asyncio.run(start())


def test_what_was_written_is_known_before_any_event_comes() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> None:
        await applier.apply(JOB, [Apply(make_manifest())], {})
        assert [child["metadata"]["name"] for _, child in cache.children_of("uid-digits")] == [
            "digits-progress"
        ]

    run(scenario)


def test_it_tells_whether_anything_is_now_other_than_it_was() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> None:
        action = Apply(make_manifest())
        assert await applier.apply(JOB, [action], {})
        there = cluster.find(CONFIG_MAP, "team", "digits-progress")
        assert there is not None
        # So the API server answers where nothing changes, or where a policy puts everything back.
        cluster.answer = lambda call: web.json_response(there) if call.method == "PATCH" else None
        assert not await applier.apply(JOB, [action], {})
        gone = Delete(kind=Kind.RAY_JOB, name="digits-a1", uid="u", resource_version="1")
        assert not await applier.apply(JOB, [gone], {})

    run(scenario)


def test_a_manifest_is_applied_to_the_object_that_was_seen_and_no_other() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> None:
        cluster.add(CONFIG_MAP, make_manifest(data="theirs"))
        with pytest.raises(ConflictError):
            await applier.apply(
                JOB, [Apply(make_manifest())], {("ConfigMap", "digits-progress"): "old-uid"}
            )
        found = cluster.find(CONFIG_MAP, "team", "digits-progress")
        assert found is not None
        assert found["data"] == {"control.json": "theirs"}

    run(scenario)


def test_actions_stop_at_the_first_that_fails() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> list[str]:
        cluster.answer = lambda call: refuse(403, "no") if call.path.endswith("/two") else None
        actions = [Apply(make_manifest(name)) for name in ("one", "two", "three")]
        with pytest.raises(ForbiddenError):
            await applier.apply(JOB, actions, {})
        return [call.path.rpartition("/")[2] for call in cluster.calls]

    assert run(scenario) == ["one", "two"]


def test_what_is_gone_needs_no_deletion() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> None:
        gone = Delete(kind=Kind.RAY_JOB, name="digits-a1", uid="u", resource_version="1")
        job = DeleteJob(name="digits", uid="u", resource_version="1")
        await applier.apply(JOB, [gone, job], {})
        assert cluster.writes() == [
            f"DELETE {RAY_JOB.path('team', 'digits-a1')}",
            f"DELETE {OPTIMIZATION_JOB.path('team', 'digits')}",
        ]

    run(scenario)


def test_f03_what_changed_since_it_was_seen_is_not_deleted() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> None:
        seen = cluster.add(RAY_JOB, {"metadata": {"name": "digits-a1", "namespace": "team"}})
        cluster.add(RAY_JOB, {"metadata": {"name": "digits-a1", "namespace": "team"}})
        action = Delete(
            kind=Kind.RAY_JOB,
            name="digits-a1",
            uid=seen["metadata"]["uid"],
            resource_version=seen["metadata"]["resourceVersion"],
        )
        with pytest.raises(ConflictError):
            await applier.apply(JOB, [action], {})
        assert cluster.find(RAY_JOB, "team", "digits-a1") is not None

    run(scenario)


REQUEST = Request("patch", "rayjobs.ray.io", "team", "digits-a1")


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (ForbiddenError(REQUEST, "no"), DegradedReason.FORBIDDEN, "patch rayjobs.ray.io"),
        (
            ConflictError(REQUEST, "no", fields=(Conflict("argocd", ".spec.suspend"),)),
            DegradedReason.FIELD_CONFLICT,
            ".spec.suspend of rayjobs.ray.io digits-a1 belongs to argocd",
        ),
        (
            InvalidObjectError(REQUEST, 'unknown field "spec.x"'),
            DegradedReason.KUBERAY_MISSING,
            'unknown field "spec.x"',
        ),
    ],
    ids=["forbidden", "field-conflict", "too-old"],
)
def test_f09_f16_f37_what_a_person_must_mend_is_named(
    error: ConflictError | ForbiddenError | InvalidObjectError, reason: DegradedReason, words: str
) -> None:
    problem = describe_problem(error)
    assert isinstance(problem, Problem)
    assert problem.reason is reason
    assert words in problem.message


def test_a_lost_race_is_nobodys_problem() -> None:
    assert describe_problem(ConflictError(REQUEST, "the object has been modified")) is None


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("rayjobs.ray.io", 'RayJob.ray.io "digits-a1" is invalid: spec.entrypoint: Required value'),
        ("jobs.batch", 'unknown field "spec.x"'),
    ],
)
def test_f30_what_the_server_refuses_for_another_cause_is_not_kuberays_age(
    resource: str, message: str
) -> None:
    error = InvalidObjectError(Request("patch", resource, "team", "digits-a1"), message)
    assert describe_problem(error) == Refusal(f"patch {resource} team/digits-a1: {message}")


def test_f79_a_refused_job_of_one_target_leaves_the_others_theirs() -> None:
    async def scenario(cluster: FakeCluster, applier: Applier, cache: WatchCache) -> list[str]:
        cluster.answer = lambda call: refuse(422, "no") if call.path.endswith("/one") else None
        actions = [Apply({**make_manifest(name), "kind": "Job"}) for name in ("one", "two")]
        with pytest.raises(InvalidObjectError):
            await applier.apply(JOB, actions, {})
        return [call.path.rpartition("/")[2] for call in cluster.calls]

    assert run(scenario) == ["one", "two"]
