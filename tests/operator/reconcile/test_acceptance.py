"""A manifest that cannot run here is refused by name and picked up once it can."""

from typing import Any

import pytest

from job_world import JobWorld, make_manifest, make_report
from trimtab_api.events import EventReason
from trimtab_operator.reconcile.verdict import Phase

BAD_TEMPLATE = {"head": {"template": {"serviceAccountName": "admin"}}}


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"cluster": BAD_TEMPLATE}, "serviceAccountName"),
        ({"storage": {"uri": "file:///runs"}}, "spec.storage.uri"),
        ({"dataset": {"imageFolder": "file:///cats"}}, "spec.dataset.imageFolder"),
        ({"dataset": {"idx": "file:///cats"}}, "spec.dataset.idx"),
        (
            {"model": {"builtin": "mlp", "weights": {"uri": "file:///m.safetensors"}}},
            "spec.model.weights.uri",
        ),
    ],
)
def test_f35_a_manifest_that_cannot_run_here_names_the_field(
    spec: dict[str, Any], word: str
) -> None:
    world = JobWorld(make_manifest(**spec))
    assert world.settle().verdict.phase is Phase.REJECTED
    assert world.said("Accepted") == "False/InvalidSpec"
    assert word in world.words("Accepted")
    assert world.objects == {}
    assert world.events.count(EventReason.INVALID_SPEC) == 1


def test_f33_a_missing_claim_is_named_and_picked_up_on_arrival() -> None:
    world = JobWorld(make_manifest(storage={"uri": "pvc://runs/vision"}))
    world.settle()
    assert world.said("Accepted") == "False/ClaimNotFound"
    assert "runs" in world.words("Accepted")
    world.claims = frozenset({"runs"})
    world.settle()
    assert world.said("Accepted") == "True/SpecAccepted"
    assert world.names("RayJob") == ["digits-a1"]


def test_a_claim_that_is_lost_later_does_not_stop_the_driver() -> None:
    world = JobWorld(make_manifest(storage={"uri": "pvc://runs/vision"}))
    world.claims = frozenset({"runs"})
    world.settle()
    world.start()
    world.tell(make_report())
    world.claims = frozenset()
    assert world.settle().verdict.phase is Phase.RUNNING


def test_without_any_storage_a_job_waits() -> None:
    world = JobWorld()
    children = world.settings.children
    world.settings = type(world.settings)(children=type(children)(image="x:1"))
    world.settle()
    assert world.said("Accepted") == "False/StorageMissing"


def test_f32_an_edit_that_is_invalid_leaves_a_running_driver_alone() -> None:
    world = JobWorld()
    world.settle()
    world.start()
    world.tell(make_report())
    world.settle()
    world.edit(cluster=BAD_TEMPLATE)
    assert world.settle().verdict.phase is Phase.RUNNING
    assert world.said("Accepted") == "False/InvalidSpec"
    world.finish()
    assert world.settle().verdict.phase is Phase.COMPLETE


def test_f30_no_attempt_starts_from_an_invalid_edit_until_it_is_reverted() -> None:
    world = JobWorld()
    world.settle()
    world.edit(cluster=BAD_TEMPLATE)
    assert world.settle().verdict.phase is Phase.STARTING
    world.remove("RayJob", "digits-a1")
    assert world.settle().verdict.phase is Phase.REJECTED
    world.edit(cluster={})
    world.settle()
    assert world.names("RayJob") == ["digits-a2"]
