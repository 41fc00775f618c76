"""Requests are typed, sent once, and answered with typed errors."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from fake_cluster import Call, FakeCluster, open_client, refuse, serve_cluster
from trimtab_operator.cluster.client import Client, ServerClock
from trimtab_operator.cluster.errors import (
    Conflict,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    UnavailableError,
)
from trimtab_operator.cluster.kinds import CONFIG_MAP, OPTIMIZATION_JOB, RAY_JOB


def make_config(name: str = "job-progress", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team", **metadata},
        "data": {"control.json": "{}"},
    }


def test_apply_makes_an_absent_object_and_changes_the_one_that_is_there() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            made = await client.apply(CONFIG_MAP, make_config(), None)
            changed = {**make_config(), "data": {"control.json": '{"stop":true}'}}
            again = await client.apply(CONFIG_MAP, changed, made["metadata"]["uid"])
            assert again["data"] == changed["data"]
            call = cluster.calls[-1]
            assert call.headers["Content-Type"] == "application/apply-patch+yaml"
            assert call.query == {"fieldManager": "trimtab-operator", "fieldValidation": "Strict"}
            assert "force" not in call.query

    asyncio.run(scenario())


def test_apply_to_an_object_that_was_made_anew_is_a_conflict() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cluster.add(CONFIG_MAP, make_config())
            with pytest.raises(ConflictError, match="uid mismatch"):
                await client.apply(CONFIG_MAP, make_config(), "uid-of-the-old-one")

    asyncio.run(scenario())


def test_f03_delete_names_uid_and_version_and_leaves_what_changed() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            stored = cluster.add(RAY_JOB, {"metadata": {"name": "job-a1", "namespace": "team"}})
            uid, version = stored["metadata"]["uid"], stored["metadata"]["resourceVersion"]
            with pytest.raises(ConflictError):
                await client.delete(RAY_JOB, "team", "job-a1", uid=uid, resource_version="1")
            assert cluster.find(RAY_JOB, "team", "job-a1") is not None
            await client.delete(RAY_JOB, "team", "job-a1", uid=uid, resource_version=version)
            assert cluster.find(RAY_JOB, "team", "job-a1") is None

    asyncio.run(scenario())


def test_lists_go_through_all_pages_and_keep_to_the_labels() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            for number in range(300):
                owner = "mine" if number != 7 else "other"
                labels = {"trimtab.dev/job-uid": owner}
                cluster.add(CONFIG_MAP, make_config(f"config-{number}", labels=labels))
            mine = await client.list_children(CONFIG_MAP, "team", "trimtab.dev/job-uid=mine")
            assert len(mine) == 299
            assert {item["kind"] for item in mine} == {"ConfigMap"}
            versions = await client.list_versions(CONFIG_MAP)
            assert len(versions) == 300
            stored = cluster.find(CONFIG_MAP, "team", "config-7")
            assert stored is not None
            assert versions["team", "config-7"] == stored["metadata"]["resourceVersion"]
            assert set(cluster.calls[-1].query) == {"labelSelector", "limit", "continue"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (403, ForbiddenError),
        (409, ConflictError),
        (410, ConflictError),
        (400, InvalidObjectError),
        (422, InvalidObjectError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
def test_f08_each_refusal_has_a_type_that_names_verb_and_resource(
    status: int, error: type[Exception]
) -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cluster.answer = lambda _: refuse(status, "no such luck")
            with pytest.raises(error, match=r"get rayjobs\.ray\.io team/job-a1: no such luck"):
                await client.read(RAY_JOB, "team", "job-a1")
            assert len(cluster.calls) == 1

    asyncio.run(scenario())


def test_f08_retry_after_is_handed_on() -> None:
    async def scenario() -> float:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cluster.answer = lambda _: refuse(429, "busy", headers={"Retry-After": "7"})
            with pytest.raises(UnavailableError) as caught:
                await client.read(RAY_JOB, "team", "job-a1")
            return caught.value.retry_after

    assert asyncio.run(scenario()) == 7.0


def test_f16_a_field_conflict_names_managers_and_fields() -> None:
    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "argocd" using batch/v1',
        "field": ".spec.suspend",
    }

    async def scenario() -> tuple[Conflict, ...]:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cluster.answer = lambda _: refuse(409, "Apply failed", causes=(cause,))
            with pytest.raises(ConflictError) as caught:
                await client.apply(CONFIG_MAP, make_config(), None)
            return caught.value.fields

    assert asyncio.run(scenario()) == (Conflict("argocd", ".spec.suspend"),)


def test_a_terminating_namespace_is_no_missing_right() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cause = {"reason": "NamespaceTerminating", "message": "team is being terminated"}
            cluster.answer = lambda _: refuse(403, "terminating", causes=(cause,))
            with pytest.raises(ConflictError):
                await client.apply(CONFIG_MAP, make_config(), None)

    asyncio.run(scenario())


def test_f10_an_expired_login_is_renewed_and_the_request_sent_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> int:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cluster.add(CONFIG_MAP, make_config())
            valid = await use_token(client, monkeypatch, "new")
            cluster.answer = lambda call: check_token(call, f"Bearer {valid}")
            found = await client.read(CONFIG_MAP, "team", "job-progress")
            assert found["data"] == {"control.json": "{}"}
            return len(cluster.calls)

    assert asyncio.run(scenario()) == 2


def test_f10_credentials_that_stay_wrong_end_in_one_more_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> int:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            await use_token(client, monkeypatch, "old")
            cluster.answer = lambda _: refuse(401, "Unauthorized")
            with pytest.raises(UnavailableError, match="Unauthorized"):
                await client.read(CONFIG_MAP, "team", "job-progress")
            return len(cluster.calls)

    assert asyncio.run(scenario()) == 2


def test_f05_a_server_that_is_away_is_unavailable() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster:
            gone = FakeCluster(url=cluster.url)
        async with open_client(gone) as client:
            with pytest.raises(UnavailableError, match="no answer"):
                await client.read(RAY_JOB, "team", "job-a1")

    asyncio.run(scenario())


def test_f08_an_answer_that_never_comes_is_unavailable() -> None:
    async def scenario() -> None:
        async with serve_cluster() as cluster:
            cluster.held = asyncio.Event()
            async with open_client(cluster, request_seconds=0.05) as client:
                with pytest.raises(UnavailableError, match="no answer: TimeoutError"):
                    await client.read(RAY_JOB, "team", "job-a1")
            cluster.held.set()

    asyncio.run(scenario())


def test_status_goes_to_its_own_path_and_only_to_the_version_it_was_computed_from() -> None:
    async def scenario() -> Call:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            stored = cluster.add(
                OPTIMIZATION_JOB, {"metadata": {"name": "job", "namespace": "team"}}
            )

            async def write(version: str) -> Mapping[str, Any]:
                return await client.replace_status(
                    OPTIMIZATION_JOB,
                    "team",
                    "job",
                    resource_version=version,
                    status={"state": "Pending"},
                )

            with pytest.raises(ConflictError):
                await write("1")
            written = await write(stored["metadata"]["resourceVersion"])
            assert written["status"] == {"state": "Pending"}
            return cluster.calls[-1]

    call = asyncio.run(scenario())
    assert call.path.endswith("/optimizationjobs/job/status")


def test_f14_the_clock_follows_the_server_and_not_this_machine() -> None:
    seconds = 1000.0
    clock = ServerClock(monotonic=lambda: seconds)
    clock.note("Thu, 01 Jan 2026 00:00:00 GMT")
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    seconds += 60
    assert clock.now() == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_f14_whole_seconds_of_the_header_do_not_turn_the_clock_back() -> None:
    seconds = 1000.0
    clock = ServerClock(monotonic=lambda: seconds)
    clock.note("Thu, 01 Jan 2026 00:00:10 GMT")
    seconds += 0.9
    before = clock.now()
    clock.note("Thu, 01 Jan 2026 00:00:10 GMT")
    assert clock.now() == before


def test_f14_a_server_whose_clock_is_set_back_is_believed() -> None:
    seconds = 1000.0
    clock = ServerClock(monotonic=lambda: seconds)
    clock.note("Thu, 01 Jan 2026 01:00:00 GMT")
    clock.note("Thu, 01 Jan 2026 00:50:00 GMT")
    assert clock.now() == datetime(2026, 1, 1, 0, 50, tzinfo=UTC)


def test_a_broken_date_is_passed_over() -> None:
    clock = ServerClock(monotonic=lambda: 0.0)
    clock.note("yesterday")
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)


async def use_token(client: Client, monkeypatch: pytest.MonkeyPatch, token: str) -> str:
    """Let the next login give this token."""
    connection = client._connection

    async def log_in() -> Any:
        configuration = type(connection.configuration)(host=connection.configuration.host)
        configuration.api_key["BearerToken"] = f"Bearer {token}"
        return type(connection)(configuration, "Bearer", token)

    monkeypatch.setattr("trimtab_operator.cluster.client.load_connection", log_in)
    return token


def check_token(call: Call, expected: str) -> web.Response | None:
    given = call.headers.get("Authorization")
    return None if given == expected else refuse(401, "Unauthorized")


def test_f30_f37_what_does_not_fit_a_schema_is_no_fault_of_the_server() -> None:
    words = "failed to create typed patch object (team/job-a1): .spec.x: expected map, got &{5}"

    async def scenario() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cluster.answer = lambda _: refuse(500, words)
            with pytest.raises(InvalidObjectError, match="expected map"):
                await client.read(RAY_JOB, "team", "job-a1")

    asyncio.run(scenario())
