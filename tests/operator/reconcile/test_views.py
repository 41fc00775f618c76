"""Raw objects become views, whatever is missing in them."""

from datetime import UTC, datetime

import pytest

from job_world import make_manifest, make_pod
from trimtab_operator.reconcile.observed import PodRole
from trimtab_operator.reconcile.views import (
    parse_time,
    read_job,
    read_pod,
    read_rayjob,
    read_target_job,
)


def test_a_valid_job_is_parsed_without_what_the_server_adds() -> None:
    view = read_job(make_manifest())
    assert view.job is not None
    assert view.manifest.findings == ()
    assert set(view.document["metadata"]) == {"name", "namespace", "uid"}
    assert "status" not in view.document


def test_an_invalid_job_has_findings_and_the_rest() -> None:
    manifest = make_manifest(cluster={"head": {"template": {"hostNetwork": True}}})
    view = read_job(manifest)
    assert view.job is None
    assert "hostNetwork" in view.manifest.findings[0].describe()
    assert view.meta.name == "digits"


def test_a_status_of_a_newer_version_is_read_without_what_is_new() -> None:
    manifest = make_manifest()
    manifest["status"] = {"attempt": 3, "somethingNew": {"a": 1}}
    view = read_job(manifest)
    assert view.previous is not None
    assert view.previous.attempt == 3


def test_a_garbled_status_is_none() -> None:
    manifest = make_manifest()
    manifest["status"] = {"attempt": "many"}
    assert read_job(manifest).previous is None


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"labels": {"trimtab.dev/attempt": "x"}}, "status": {"conditions": "none"}},
        {"status": {"rayClusterStatus": {"conditions": [None, 1]}, "message": 7}},
    ],
)
def test_what_is_missing_or_of_another_type_is_not_there(raw: dict[str, object]) -> None:
    assert read_rayjob(raw).attempt == 0
    assert read_rayjob(raw).conditions == ()
    assert read_pod(raw).phase == "Pending"
    assert not read_target_job(raw).ended


def test_the_role_of_a_pod_is_read_from_its_labels() -> None:
    target = make_pod("t", "", 1)
    target["metadata"]["labels"]["trimtab.dev/target"] = "edge"
    assert read_pod(make_pod("h", "head", 1)).role is PodRole.HEAD
    assert read_pod(make_pod("w", "worker", 1)).role is PodRole.WORKER
    assert read_pod(make_pod("s", "submitter", 1)).role is PodRole.SUBMITTER
    assert read_pod(target).role is PodRole.TARGET


def test_a_container_on_its_way_does_not_wait() -> None:
    waiting = {"name": "ray", "state": {"waiting": {"reason": "ContainerCreating"}}}
    stuck = {"name": "ray", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}
    assert read_pod(make_pod("h", "head", 1, containerStatuses=[waiting])).waiting is None
    found = read_pod(make_pod("h", "head", 1, containerStatuses=[waiting, stuck])).waiting
    assert found is not None
    assert (found.container, found.reason) == ("ray", "ImagePullBackOff")


def test_the_schedulers_words_are_kept() -> None:
    condition = {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert read_pod(make_pod("h", "head", 1, conditions=[condition])).unschedulable == "0/1 nodes"


def test_a_failed_job_of_a_target_says_why() -> None:
    raw = {
        "metadata": {"labels": {"trimtab.dev/target": "edge", "trimtab.dev/attempt": "2"}},
        "status": {
            "conditions": [
                {"type": "FailureTarget", "status": "True", "reason": "x"},
                {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"},
            ]
        },
    }
    view = read_target_job(raw)
    assert (view.target, view.attempt, view.failed, view.reason) == (
        "edge",
        2,
        True,
        "DeadlineExceeded",
    )


def test_times_without_a_zone_are_utc_and_others_are_no_times() -> None:
    assert parse_time("2026-11-24T12:00:00") == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert parse_time("yesterday") is None
    assert parse_time(None) is None
