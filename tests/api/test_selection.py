"""Limits, margins and picks over the figures of exported files."""

import math
from typing import Any

import pytest

from manifest_edits import edit_manifest
from report_builder import make_candidate
from trimtab_api.defaults import expand_job
from trimtab_api.reports import CandidateReport
from trimtab_api.selection import (
    describe_constraint,
    find_margins,
    gain_against,
    metric_direction,
    pick_candidate,
    worsening,
)
from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1.goals import Direction, Objective, Profile
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.validation import parse_job

BASELINE = {"accuracy": 0.9, "loss": 0.5, "size_mib@edge": 10.0, "latency_p50_ms@edge": 4.0}
OWN = (Objective(metric="error", direction=Direction.MINIMIZE),)


def make_spec(*constraints: dict[str, Any], **target: Any) -> Spec:
    edits = {
        "spec.constraints": list(constraints),
        "spec.targets": [{"name": "edge", "profile": "cpu-edge", **target}],
    }
    job = expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_SERVER)
    return job.spec


def candidate(name: str = "pruned", reason: Any = None, **metrics: Any) -> CandidateReport:
    figures = {key.replace("_at_edge", "@edge"): value for key, value in metrics.items()}
    return make_candidate("pruned", id=name, metrics=figures, rejected=None, reason=reason)


def pick(candidates: list[CandidateReport], spec: Spec) -> tuple[str, bool]:
    found = pick_candidate(candidates, BASELINE, spec, spec.targets[0])
    return found.candidate.id, found.feasible


@pytest.mark.parametrize(
    ("constraint", "metrics", "value", "margin"),
    [
        ({"metric": "loss", "max": 0.6}, {"loss": 0.5}, 0.5, 0.1),
        ({"metric": "accuracy", "min": 0.95}, {"accuracy": 0.9}, 0.9, -0.05),
        ({"metric": "accuracy", "maxDrop": 0.02}, {"accuracy": 0.89}, 0.01, 0.01),
        ({"metric": "accuracy", "maxDrop": 0.02}, {"accuracy": 0.95}, -0.05, 0.07),
        ({"metric": "loss", "maxDrop": 0.1}, {"loss": 0.7}, 0.2, -0.1),
        ({"metric": "accuracy", "maxDropRatio": 0.1}, {"accuracy": 0.81}, 0.1, 0.0),
        ({"metric": "size_mib", "minGain": 5}, {"size_mib@edge": 4.0}, 6.0, 1.0),
        ({"metric": "size_mib", "minGainRatio": 0.75}, {"size_mib@edge": 5.0}, 0.5, -0.25),
    ],
)
def test_a_margin_is_the_distance_to_the_limit(
    constraint: dict[str, Any], metrics: dict[str, float], value: float, margin: float
) -> None:
    (found,) = find_margins(metrics, BASELINE, make_spec(constraint), "edge")
    assert found.value == pytest.approx(value)
    assert found.margin == pytest.approx(margin)
    assert found.met is (margin >= 0)


def test_a_limit_met_up_to_rounding_is_met() -> None:
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01})
    (found,) = find_margins({"accuracy": 0.9 - 0.01}, {"accuracy": 0.9}, spec, "edge")
    assert found.met


def test_a_figure_that_was_not_measured_is_a_missed_limit() -> None:
    spec = make_spec({"metric": "memory_mib", "max": 100})
    (found,) = find_margins({}, BASELINE, spec, "edge")
    assert (found.met, found.value, found.severity) == (False, None, -math.inf)


def test_a_limit_of_another_target_does_not_count() -> None:
    spec = make_spec({"metric": "size_mib", "target": "edge", "max": 1})
    assert find_margins({"size_mib@other": 5}, BASELINE, spec, "other") == ()


@pytest.mark.parametrize(
    ("prefer", "expected"), [("Speed", "fast"), ("Size", "small"), ("Accuracy", "exact")]
)
def test_the_preferred_of_the_feasible_ships(prefer: str, expected: str) -> None:
    figures = {"accuracy": 0.9, "size_mib_at_edge": 5.0, "latency_p95_ms_at_edge": 3.0}
    candidates = [
        candidate("fast", **{**figures, "latency_p95_ms_at_edge": 1.0}),
        candidate("small", **{**figures, "size_mib_at_edge": 1.0}),
        candidate("exact", **{**figures, "accuracy": 0.95}),
    ]
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01}, prefer=prefer)
    assert pick(candidates, spec) == (expected, True)


def test_an_infeasible_candidate_never_ships_beside_a_feasible_one() -> None:
    candidates = [
        candidate("fast", accuracy=0.5, latency_p95_ms_at_edge=1.0),
        candidate("slow", accuracy=0.9, latency_p95_ms_at_edge=9.0),
    ]
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01})
    assert pick(candidates, spec) == ("slow", True)


def test_the_nearest_ships_where_none_is_feasible() -> None:
    candidates = [candidate("near", accuracy=0.8), candidate("far", accuracy=0.2)]
    assert pick(candidates, make_spec({"metric": "accuracy", "min": 0.95})) == ("near", False)


def test_f69_a_candidate_without_gain_never_ships() -> None:
    candidates = [
        candidate("dense", accuracy=0.9, latency_p95_ms_at_edge=2.0),
        candidate("int8", StageReason.NO_GAIN, accuracy=0.9, latency_p95_ms_at_edge=1.0),
    ]
    assert pick(candidates, make_spec()) == ("dense", True)


def test_a_candidate_out_of_budget_ships_where_no_other_is_nearer() -> None:
    candidates = [
        candidate("dense", accuracy=0.9, size_mib_at_edge=10.0),
        candidate("cut", StageReason.BUDGET_EXCEEDED, accuracy=0.88, size_mib_at_edge=2.0),
    ]
    constraints = (
        {"metric": "accuracy", "min": 0.89},
        {"metric": "size_mib", "max": 1.0},
    )
    assert pick(candidates, make_spec(*constraints)) == ("cut", False)


def test_the_limit_missed_most_limits() -> None:
    spec = make_spec({"metric": "accuracy", "min": 0.95}, {"metric": "size_mib", "max": 1})
    found = pick_candidate(
        [candidate(accuracy=0.9, size_mib_at_edge=5.0)], BASELINE, spec, spec.targets[0]
    )
    assert found.limiting is not None
    assert describe_constraint(found.limiting.constraint, "edge") == "size_mib@edge max 1"


@pytest.mark.parametrize(
    ("figures", "gains"),
    [
        ({"size_mib_at_edge": 9.0, "latency_p50_ms_at_edge": 9.0}, True),
        ({"size_mib_at_edge": 10.0, "latency_p50_ms_at_edge": 3.0}, True),
        ({"size_mib_at_edge": 10.0, "latency_p50_ms_at_edge": 4.0}, False),
        ({"size_mib_at_edge": 11.0, "latency_p50_ms_at_edge": 5.0}, False),
    ],
)
def test_f69_smaller_or_faster_than_the_parent_is_a_gain(
    figures: dict[str, float], gains: bool
) -> None:
    parent = make_candidate("dense", metrics=BASELINE)
    why = gain_against(candidate("int8", **figures), parent, "edge")
    assert (why is None) is gains
    assert gains or "neither smaller nor faster than dense on edge: size_mib" in str(why)


def test_worse_follows_the_direction_of_the_metric() -> None:
    assert worsening("accuracy", 0.8, 0.9, ()) == pytest.approx(0.1)
    assert worsening("loss", 0.8, 0.9, ()) == pytest.approx(-0.1)
    assert worsening("error", 2, 1, OWN) == 1
    with pytest.raises(KeyError):
        metric_direction("f1", OWN)
