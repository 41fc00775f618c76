"""A job of any version is read: what is unknown is left out, what is known stays."""

from typing import Any

import pytest

from cluster_jobs import make_cluster_job, make_condition
from trimtab_api.verdict import Verdict
from trimtab_cli.jobs import read_job

DONE = [make_condition("Complete", "True", "Finished")]
MET = [*DONE, make_condition("GoalsMet", "True", "AllConstraintsMet")]


def test_a_job_that_no_operator_has_seen_is_unfinished() -> None:
    job = read_job(make_cluster_job())

    assert (job.name, job.namespace, job.version, job.metric) == (
        "digits",
        "vision",
        "7",
        "accuracy",
    )
    assert job.status.state is None
    assert not job.is_current
    assert job.verdict() is Verdict.UNFINISHED


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (MET, Verdict.GOALS_MET),
        (DONE, Verdict.GOALS_MISSED),
        ([make_condition("Failed", "True", "UserError")], Verdict.FAILED),
        ([], Verdict.UNFINISHED),
    ],
)
def test_conditions_tell_how_a_job_ended(
    conditions: list[dict[str, Any]], expected: Verdict
) -> None:
    assert read_job(make_cluster_job(conditions=conditions)).verdict() is expected


def test_an_edit_that_the_operator_has_not_seen_makes_a_finished_job_unfinished() -> None:
    assert read_job(make_cluster_job(generation=2, conditions=MET)).verdict() is Verdict.UNFINISHED


@pytest.mark.parametrize(
    "unknown",
    [
        {"weather": {"rain": True}},
        {"state": "Dancing"},
        {"best": {"trial": 1}},
        {"stages": [{"name": "search", "reason": "Moonshine"}, {"name": "dream"}]},
        {"conditions": [*MET, make_condition("Sleepy", "True", "Late"), {"type": "Failed"}]},
        {"trials": {"total": "many", "summary": "1/2"}},
        {"targets": "all"},
    ],
    ids=lambda unknown: next(iter(unknown)),
)
def test_what_this_version_does_not_know_costs_nothing_else(unknown: dict[str, Any]) -> None:
    job = read_job(make_cluster_job(**{"conditions": MET, "attempt": 3, **unknown}))

    assert job.verdict() is Verdict.GOALS_MET
    assert job.status.attempt == 3


def test_the_known_part_of_a_partly_unknown_entry_stays() -> None:
    stages = [{"name": "dream"}, {"name": "search", "state": "Running", "reason": "Moonshine"}]

    (stage,) = read_job(make_cluster_job(stages=stages)).status.stages

    assert (stage.name, stage.state, stage.reason) == ("search", "Running", None)


def test_an_object_that_is_no_job_is_read_as_an_empty_one() -> None:
    assert read_job({"metadata": None, "spec": [], "status": 3}).name == ""
