"""Following a job yields each change, through ended watches and lost connections."""

from itertools import islice
from typing import Any

import pytest

from cluster_jobs import JOBS, make_cluster_job, make_job_list
from small_api import Refusal, SmallApi
from trimtab_cli.access import ConnectionFailedError, NotFoundError
from trimtab_cli.cluster import connect_cluster
from trimtab_cli.following import follow_job


def make_event(kind: str, version: str) -> dict[str, Any]:
    return {"type": kind, "object": make_cluster_job(version=version)}


def follow(count: int, pauses: list[float]) -> list[str]:
    """Return the versions of the first snapshots."""
    cluster = connect_cluster(context=None, namespace=None)
    found = islice(follow_job(cluster, "digits", pause=pauses.append), count)
    return [document["metadata"]["resourceVersion"] for document in found]


def test_a_watch_begins_at_the_lists_version(api: SmallApi) -> None:
    """The job's own version may be too old for the server by now."""
    api.add(JOBS, make_job_list(make_cluster_job(version="7"), version="50"))
    api.watches.append([make_event("MODIFIED", "51"), make_event("MODIFIED", "52")])

    assert follow(3, []) == ["7", "51", "52"]
    assert "resourceVersion=50&" in api.asked[-1]
    assert "fieldSelector=metadata.name=digits" in api.asked[-1]


def test_what_changed_while_no_watch_was_open_is_shown_once(api: SmallApi) -> None:
    api.add(JOBS, make_job_list(make_cluster_job(version="7")))
    api.watches += [
        [make_event("BOOKMARK", "8"), {"type": "ERROR", "object": {"code": 410}}],
        [],
        [make_event("MODIFIED", "12")],
    ]
    pauses: list[float] = []

    assert follow(2, pauses) == ["7", "12"]
    assert pauses == [1.0, 1.0]


def test_a_lost_connection_is_taken_up_again_more_and_more_slowly(api: SmallApi) -> None:
    api.add(JOBS, make_job_list(make_cluster_job(version="7")))
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            api.add(JOBS, Refusal(503, "down"))
        elif len(pauses) == 8:
            api.add(JOBS, make_job_list(make_cluster_job(version="8")))

    cluster = connect_cluster(context=None, namespace=None)
    snapshots = islice(follow_job(cluster, "digits", pause=pause), 2)

    assert [document["metadata"]["resourceVersion"] for document in snapshots] == ["7", "8"]
    assert pauses[0] == 1.0
    assert pauses[-1] <= 30.0
    assert sorted(pauses[1::2]) == pauses[1::2]


def test_a_deleted_job_ends_it(api: SmallApi) -> None:
    api.add(JOBS, make_job_list(make_cluster_job()))
    api.watches.append([make_event("DELETED", "9")])

    with pytest.raises(NotFoundError, match="digits was deleted"):
        follow(2, [])


def test_a_job_that_never_was_ends_it(api: SmallApi) -> None:
    api.add(JOBS, make_job_list())

    with pytest.raises(NotFoundError):
        follow(1, [])


def test_a_cluster_that_never_answered_is_not_waited_for(api: SmallApi) -> None:
    api.add(JOBS, Refusal(503, "down"))

    with pytest.raises(ConnectionFailedError):
        follow(1, [])
