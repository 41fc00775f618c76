"""The cache keeps the latest version of each object and finds the children of a job."""

import json
from typing import Any

import pytest

from trimtab_operator.cluster.cache import JobKey, WatchCache, owning_job
from trimtab_operator.cluster.kinds import CONFIG_MAP, OPTIMIZATION_JOB, POD, RAY_JOB


def make_object(name: str, version: int = 1, *, uid: str = "u", job: str | None = "job-uid") -> Any:
    labels = {"trimtab.dev/job-uid": job, "trimtab.dev/job": "job"} if job else {}
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": labels,
        }
    }


def test_f03_an_older_version_of_an_object_is_passed_over() -> None:
    cache = WatchCache()
    assert cache.put(POD, make_object("head", 10))
    assert not cache.put(POD, make_object("head", 9))
    assert not cache.put(POD, make_object("head", 10))
    found = cache.find(POD, "team", "head")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"


def test_f21_another_object_of_the_same_name_replaces_the_old_one() -> None:
    cache = WatchCache()
    cache.put(OPTIMIZATION_JOB, make_object("job", 10, uid="old", job=None))
    assert cache.put(OPTIMIZATION_JOB, make_object("job", 3, uid="new", job=None))


def test_a_late_deletion_does_not_remove_the_successor() -> None:
    cache = WatchCache()
    cache.put(POD, make_object("head", 10, uid="new"))
    cache.remove(POD, make_object("head", 9, uid="old"))
    assert cache.find(POD, "team", "head") is not None
    cache.remove(POD, make_object("head", 11, uid="new"))
    assert cache.find(POD, "team", "head") is None
    assert list(cache.children_of("job-uid")) == []


def test_f04_what_a_write_of_ours_made_is_known_when_it_comes_back() -> None:
    cache = WatchCache()
    cache.put(POD, make_object("head", 10), is_written=True)
    assert cache.is_echo(POD, make_object("head", 10))
    assert not cache.is_echo(POD, make_object("head", 11))
    assert not cache.is_echo(POD, make_object("other", 10))
    cache.put(POD, make_object("head", 11))
    assert not cache.is_echo(POD, make_object("head", 11))


def test_objects_that_are_alike_take_little_and_come_back_whole() -> None:
    cache = WatchCache()
    documents = [
        {**make_object(f"head-{number}"), "data": {str(key): f"{key**3:x}" for key in range(5000)}}
        for number in range(3)
    ]
    for document in documents:
        cache.put(POD, document)
    assert [cache.find(POD, "team", f"head-{number}") for number in range(3)] == documents
    whole = len(json.dumps(documents[0]))
    assert whole > 2 * 32_768
    _, second, third = cache._objects[POD].values()
    small = [{**make_object(f"tail-{number}"), "data": {}} for number in range(2)]
    for document in small:
        cache.put(RAY_JOB, document)
    _, like = cache._objects[RAY_JOB].values()
    assert len(like.packed) < len(json.dumps(small[1])) / 3
    assert max(len(second.packed), len(third.packed)) < whole / 2


def test_children_are_found_by_the_uid_of_their_job_in_a_stable_order() -> None:
    cache = WatchCache()
    cache.put(RAY_JOB, make_object("job-a1"))
    cache.put(CONFIG_MAP, make_object("job-progress"))
    cache.put(CONFIG_MAP, make_object("job-a1"))
    cache.put(CONFIG_MAP, make_object("stray", job="another"))
    found = [(kind.name, child["metadata"]["name"]) for kind, child in cache.children_of("job-uid")]
    assert found == [
        ("ConfigMap", "job-a1"),
        ("ConfigMap", "job-progress"),
        ("RayJob", "job-a1"),
    ]


def test_a_child_whose_label_changes_goes_to_its_new_job() -> None:
    cache = WatchCache()
    cache.put(POD, make_object("head", 1))
    cache.put(POD, make_object("head", 2, job="another"))
    assert list(cache.children_of("job-uid")) == []
    assert len(list(cache.children_of("another"))) == 1


def test_what_the_server_notes_about_owners_of_fields_is_not_kept() -> None:
    cache = WatchCache()
    child = make_object("head")
    child["metadata"]["managedFields"] = [{"manager": "somebody"}]
    cache.put(POD, child)
    found = cache.find(POD, "team", "head")
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert "managedFields" in child["metadata"]


@pytest.mark.parametrize(
    ("version", "known", "expected"),
    [("10", "9", True), ("9", "10", False), ("9", "9", False), ("b", "a", True), ("a", "a", False)],
)
def test_versions_are_numbers_where_they_look_like_numbers(
    version: str, known: str, *, expected: bool
) -> None:
    cache = WatchCache()
    ours, theirs = make_object("x"), make_object("x")
    ours["metadata"]["resourceVersion"] = version
    theirs["metadata"]["resourceVersion"] = known
    cache.put(POD, theirs)
    assert cache.put(POD, ours) is expected
    assert cache.versions_of(POD) == {("team", "x"): version if expected else known}


def test_the_owner_is_read_from_labels() -> None:
    assert owning_job(make_object("head")) == JobKey("team", "job")
    assert owning_job(make_object("head", job=None)) is None
