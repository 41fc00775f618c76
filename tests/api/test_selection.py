"""Limits, margins and picks over the figures of exported files."""

import math
import re
from itertools import permutations
from typing import Any

import pytest

from candidate_builder import make_candidate
from manifest_edits import edit_manifest
from trimtab_api.defaults import expand_job
from trimtab_api.reports import CandidateReport
from trimtab_api.selection import (
    describe_constraint,
    file_for,
    find_margins,
    find_no_gain,
    gain_against,
    list_best,
    metric_direction,
    pick_candidate,
    rank_feasible,
    worsening,
)
from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1.goals import Direction, Objective, Profile
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.validation import parse_job

BASELINE = {"accuracy": 0.9, "loss": 0.5, "size_mib@edge": 10.0, "latency_p50_ms@edge": 4.0}
OWN = (Objective(metric="error", direction=Direction.MINIMIZE),)


DC = {"name": "dc", "profile": "gpu-server"}


def make_spec(*constraints: dict[str, Any], **target: Any) -> Spec:
    edits = {
        "spec.constraints": list(constraints),
        "spec.targets": [{"name": "edge", "profile": "cpu-edge", **target}, DC],
    }
    job = expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_SERVER)
    return job.spec


def candidate(name: str = "pruned", reason: Any = None, **metrics: Any) -> CandidateReport:
    figures = {re.sub("_at_(edge|dc)$", r"@\1", key): value for key, value in metrics.items()}
    return make_candidate("pruned", id=name, parent=None, metrics=figures, reason=reason)


def measured(name: str, reason: Any = None, **metrics: Any) -> CandidateReport:
    figures = {"accuracy": 0.9, "size_mib_at_edge": 5.0, "latency_p50_ms_at_edge": 2.0}
    return candidate(name, reason, **{**figures, **metrics})


def pick(candidates: list[CandidateReport], spec: Spec) -> tuple[str, bool]:
    found = pick_candidate(candidates, BASELINE, spec, spec.targets[0])
    assert found is not None
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
    candidates = [
        measured("fast", latency_p95_ms_at_edge=1.0),
        measured("small", size_mib_at_edge=1.0, latency_p95_ms_at_edge=3.0),
        measured("exact", accuracy=0.95, latency_p95_ms_at_edge=3.0),
    ]
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01}, prefer=prefer)
    assert pick(candidates, spec) == (expected, True)


def test_an_infeasible_candidate_never_ships_beside_a_feasible_one() -> None:
    candidates = [
        measured("fast", accuracy=0.5, latency_p95_ms_at_edge=1.0),
        measured("slow", accuracy=0.9, latency_p95_ms_at_edge=9.0),
    ]
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01})
    assert pick(candidates, spec) == ("slow", True)


def test_the_nearest_ships_where_none_is_feasible() -> None:
    candidates = [measured("near", accuracy=0.8), measured("far", accuracy=0.2)]
    assert pick(candidates, make_spec({"metric": "accuracy", "min": 0.95})) == ("near", False)


def test_f69_a_candidate_without_gain_never_ships() -> None:
    candidates = [
        measured("dense", accuracy=0.9, latency_p95_ms_at_edge=2.0),
        measured("int8", StageReason.NO_GAIN, accuracy=0.9, latency_p95_ms_at_edge=1.0),
    ]
    assert pick(candidates, make_spec()) == ("dense", True)


def test_a_candidate_out_of_budget_ships_where_no_other_is_nearer() -> None:
    candidates = [
        measured("dense", accuracy=0.9, size_mib_at_edge=10.0),
        measured("cut", StageReason.BUDGET_EXCEEDED, accuracy=0.88, size_mib_at_edge=2.0),
    ]
    constraints = (
        {"metric": "accuracy", "min": 0.89},
        {"metric": "size_mib", "max": 1.0},
    )
    assert pick(candidates, make_spec(*constraints)) == ("cut", False)


def test_the_limit_missed_most_limits() -> None:
    spec = make_spec({"metric": "accuracy", "min": 0.95}, {"metric": "size_mib", "max": 1})
    found = pick_candidate([measured("only")], BASELINE, spec, spec.targets[0])
    assert found is not None
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


def test_f69_what_gains_nothing_is_rejected_with_its_figures() -> None:
    parent = make_candidate("dense", metrics=BASELINE)
    int8 = measured("int8", size_mib_at_edge=10.0, latency_p50_ms_at_edge=4.48)
    assert gain_against(int8, parent, "edge") == (
        "neither smaller nor faster than dense on edge: 12 % slower, as large"
    )
    targets = make_spec().targets
    assert find_no_gain(int8, parent, targets) == gain_against(int8, parent, "edge")


def test_f69_a_gain_on_one_target_is_a_gain() -> None:
    parent = candidate("dense", size_mib_at_edge=10.0, size_mib_at_dc=10.0)
    int8 = candidate("int8", size_mib_at_edge=11.0, size_mib_at_dc=9.0)
    assert find_no_gain(int8, parent, make_spec().targets) is None


def test_f69_what_gains_nothing_on_a_target_does_not_ship_there_but_may_elsewhere() -> None:
    figures = {"size_mib_at_dc": 5.0, "latency_p50_ms_at_dc": 2.0}
    dense = measured("dense", latency_p95_ms_at_edge=9.0, throughput_per_s_at_dc=1.0, **figures)
    int8 = measured(
        "int8",
        latency_p95_ms_at_edge=1.0,
        throughput_per_s_at_dc=2.0,
        **{**figures, "latency_p50_ms_at_dc": 1.0},
    ).model_copy(update={"parent": "dense"})
    spec = make_spec()
    shipped = {
        target.name: pick_candidate([dense, int8], BASELINE, spec, target)
        for target in spec.targets
    }
    assert {name: found.candidate.id for name, found in shipped.items() if found} == {
        "edge": "dense",
        "dc": "int8",
    }


def test_without_common_figures_nothing_speaks_against_a_candidate() -> None:
    assert gain_against(measured("int8"), candidate("dense"), "edge") is None
    assert find_no_gain(candidate("int8"), measured("dense"), make_spec().targets) is None


@pytest.mark.parametrize("missing", ["size_mib_at_edge", "latency_p50_ms_at_edge"])
def test_what_has_no_file_or_no_time_on_a_target_does_not_ship_there(missing: str) -> None:
    best = measured("best", accuracy=0.99)
    key = missing.replace("_at_", "@")
    partly = best.model_copy(
        update={"metrics": {name: best.metrics[name] for name in best.metrics if name != key}}
    )
    spec = make_spec(prefer="Accuracy")
    assert pick([partly, measured("dense")], spec) == ("dense", True)
    assert pick_candidate([partly], BASELINE, spec, spec.targets[0]) is None


def test_the_feasible_are_ranked_by_preference() -> None:
    spec = make_spec({"metric": "accuracy", "min": 0.9}, prefer="Size")
    candidates = [
        measured("large", size_mib_at_edge=9.0),
        measured("bad", accuracy=0.1, size_mib_at_edge=0.1),
        measured("small", size_mib_at_edge=1.0),
    ]
    ranked = rank_feasible(candidates, BASELINE, spec, spec.targets[0])
    assert [entry.id for entry in ranked] == ["small", "large"]


def test_speeds_within_three_percent_are_equal_and_the_size_decides() -> None:
    candidates = [
        measured("fast", latency_p95_ms_at_edge=1.0, size_mib_at_edge=4.0),
        measured("small", latency_p95_ms_at_edge=1.03, size_mib_at_edge=2.0),
        measured("slow", latency_p95_ms_at_edge=1.04, size_mib_at_edge=1.0),
    ]
    spec = make_spec(prefer="Speed")
    ranked = rank_feasible(candidates, BASELINE, spec, spec.targets[0])
    assert [entry.id for entry in ranked] == ["small", "fast", "slow"]


def test_where_speed_and_size_are_equal_the_quality_decides() -> None:
    candidates = [
        measured("first", latency_p95_ms_at_edge=1.0, size_mib_at_edge=4.0),
        measured("exact", latency_p95_ms_at_edge=1.02, size_mib_at_edge=4.1, accuracy=0.91),
    ]
    assert pick(candidates, make_spec(prefer="Speed")) == ("exact", True)
    assert pick(candidates, make_spec(prefer="Size")) == ("exact", True)


def test_the_quality_knows_no_band() -> None:
    candidates = [
        measured("small", accuracy=0.905, size_mib_at_edge=1.0),
        measured("exact", accuracy=0.91),
    ]
    assert pick(candidates, make_spec(prefer="Accuracy")) == ("exact", True)


def test_throughputs_within_three_percent_of_the_best_are_equal() -> None:
    spec = make_spec(profile="cpu-server")
    candidates = [
        measured(f"{rate:g}", throughput_per_s_at_edge=rate) for rate in (99.9, 100.0, 103.0)
    ]
    best = list_best(candidates, "throughput_per_s", spec, spec.targets[0])
    assert [entry.id for entry in best] == ["100", "103"]


def test_the_order_does_not_hang_on_the_order_of_chained_ties() -> None:
    # Each is within 3 % of the next one, but only two are of the best.
    candidates = [
        measured(f"{1000 * time:g}", latency_p95_ms_at_edge=time, size_mib_at_edge=size)
        for time, size in ((1.0, 4.0), (1.025, 3.0), (1.05, 2.0), (1.075, 1.0))
    ]
    spec = make_spec(prefer="Speed")
    orders = {
        tuple(entry.id for entry in rank_feasible(given, BASELINE, spec, spec.targets[0]))
        for given in permutations(candidates)
    }
    assert orders == {("1025", "1000", "1050", "1075")}


def test_equals_in_all_are_ranked_by_who_was_made_first_whatever_the_noise() -> None:
    for noise in (-0.02, 0.0, 0.02):
        candidates = [
            measured("first", latency_p95_ms_at_edge=1.0),
            measured("second", latency_p95_ms_at_edge=1.0 + noise),
        ]
        assert pick(candidates, make_spec(prefer="Speed")) == ("first", True)


def test_what_is_slower_than_the_baseline_beyond_noise_does_not_ship_for_speed() -> None:
    dense = measured("dense", latency_p95_ms_at_edge=1.0, size_mib_at_edge=10.0)
    slower = measured("pruned", latency_p95_ms_at_edge=1.04, size_mib_at_edge=1.0)
    assert pick([slower, dense], make_spec(prefer="Speed")) == ("dense", True)


def test_the_file_of_a_target_is_the_one_that_its_runtime_takes() -> None:
    edge, dc = make_spec().targets
    dense = make_candidate("dense")
    pt2 = dense.files[0].model_copy(update={"format": "pt2", "artifact": "artifacts/dense.pt2"})
    both = dense.model_copy(update={"files": (*dense.files, pt2)})
    assert (file_for(both, edge), file_for(both, dc)) == both.files
    assert file_for(dense, dc) is None


def test_worse_follows_the_direction_of_the_metric() -> None:
    assert worsening("accuracy", 0.8, 0.9, ()) == pytest.approx(0.1)
    assert worsening("loss", 0.8, 0.9, ()) == pytest.approx(-0.1)
    assert worsening("error", 2, 1, OWN) == 1
    with pytest.raises(KeyError):
        metric_direction("f1", OWN)
