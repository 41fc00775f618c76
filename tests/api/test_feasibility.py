"""The limits that a trial can tell follow from the constraints and from what later stages take off."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifest_edits import edit_manifest
from trimtab_api.defaults import expand_job
from trimtab_api.feasibility import TrialLimit, find_violations, trial_limits
from trimtab_api.selection import describe_constraint, find_margins
from trimtab_api.v1alpha1.goals import Profile
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.validation import parse_job

MIB = 2**20
FIGURES = st.floats(-1e9, 1e9)


def make_spec(*constraints: dict[str, Any], **stages: Any) -> Spec:
    edits = {
        "spec.constraints": list(constraints),
        "spec.stages": {"search": {}, "train": {}, **stages},
    }
    return expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_SERVER).spec


def limits_of(constraint: dict[str, Any], **stages: Any) -> list[tuple[str, float]]:
    """Return metric and share of the limits that one constraint gives."""
    limits = trial_limits(make_spec(constraint, **stages))
    return [(limit.metric, round(limit.share, 12)) for limit in limits]


def pruned(**amount: float) -> dict[str, Any]:
    return {"prune": {"amount": amount}}


@pytest.mark.parametrize(
    "constraint",
    [
        {"metric": "accuracy", "min": 0.9},
        {"metric": "loss", "max": 0.5},
        {"metric": "params", "min": 10},
        {"metric": "params", "max": 10},
        {"metric": "flops", "max": 10},
    ],
)
def test_without_later_stages_a_value_is_judged_as_it_is(constraint: dict[str, Any]) -> None:
    assert limits_of(constraint) == [(constraint["metric"], 1.0)]


@pytest.mark.parametrize(
    "constraint",
    [
        {"metric": "accuracy", "maxDrop": 0.01},
        {"metric": "loss", "minGainRatio": 0.1},
        {"metric": "latency_p95_ms", "max": 5},
        {"metric": "speedup", "min": 2},
        {"metric": "size_compressed_mib", "max": 5},
        {"metric": "size_mib", "min": 5},
        {"metric": "params", "minGainRatio": 0.5},
        {"metric": "sparsity", "min": 0.5},
        {"metric": "sparsity", "max": 0.9},
    ],
)
def test_what_only_an_exported_file_or_the_baseline_tells_is_left_out(
    constraint: dict[str, Any],
) -> None:
    assert limits_of(constraint) == []


@pytest.mark.parametrize(
    ("constraint", "stages", "expected"),
    [
        ({"metric": "params", "max": 9}, pruned(paramsReduction=0.75), [("params", 0.25)]),
        ({"metric": "flops", "max": 9}, pruned(flopsReduction=0.6), [("flops", 0.4)]),
        ({"metric": "params", "max": 9}, pruned(flopsReduction=0.6), []),
        ({"metric": "flops", "max": 9}, pruned(paramsReduction=0.6), []),
        ({"metric": "flops", "max": 9}, pruned(ratio=0.5), []),
        ({"metric": "flops", "max": 9}, {"prune": {}}, [("flops", 0.5)]),
        ({"metric": "params", "min": 9}, pruned(paramsReduction=0.75), [("params", 1.0)]),
        ({"metric": "accuracy", "min": 0.9}, pruned(ratio=0.5), [("accuracy", 1.0)]),
        ({"metric": "size_mib", "max": 9}, {}, [("params", round(4 / MIB, 12))]),
        ({"metric": "size_mib", "max": 9}, {"quantize": {}}, [("params", round(1 / MIB, 12))]),
        (
            {"metric": "size_mib", "max": 9},
            pruned(paramsReduction=0.5),
            [("params", round(2 / MIB, 12))],
        ),
        ({"metric": "size_mib", "max": 9}, pruned(flopsReduction=0.5), []),
        (
            {"metric": "size_mib", "max": 9},
            {"quantize": {"method": "Cast"}},
            [("params", round(2 / MIB, 12))],
        ),
        ({"metric": "params", "max": 9}, {"prune": {"granularity": "Weights"}}, [("params", 1.0)]),
        ({"metric": "sparsity", "min": 0.4}, {"prune": {"granularity": "Weights"}}, []),
    ],
)
def test_a_largest_value_is_judged_against_the_least_that_later_stages_leave(
    constraint: dict[str, Any], stages: dict[str, Any], expected: list[tuple[str, float]]
) -> None:
    assert limits_of(constraint, **stages) == expected


def test_a_stage_that_the_profile_skips_takes_nothing_off() -> None:
    edits: dict[str, Any] = {
        "spec.constraints": [{"metric": "flops", "max": 9}],
        "spec.targets": [{"name": "edge", "profile": "gpu-server"}],
    }
    job = expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_SERVER)
    assert [limit.share for limit in trial_limits(job.spec)] == [1.0]


def test_a_metric_of_the_users_task_is_told_by_a_trial() -> None:
    edits: dict[str, Any] = {
        "spec.task": {"entrypoint": "waves:Task"},
        "spec.constraints": [{"metric": "f1", "min": 0.5}],
    }
    (limit,) = trial_limits(parse_job(edit_manifest(edits)).spec)
    assert (limit.metric, limit.is_static) == ("f1", False)


def test_limits_are_named_as_elsewhere_and_each_once() -> None:
    edge = {"metric": "size_mib", "max": 0.5, "target": "edge"}
    spec = make_spec({"metric": "params", "max": 9}, edge, {"metric": "params", "max": 9})
    limits = trial_limits(spec)
    assert [limit.name for limit in limits] == ["params max 9", "size_mib@edge max 0.5"]
    assert limits[0].name == describe_constraint(spec.constraints[0])


def test_only_limits_on_the_network_alone_are_static() -> None:
    spec = make_spec({"metric": "size_mib", "max": 9}, {"metric": "loss", "max": 9})
    assert [limit.is_static for limit in trial_limits(spec)] == [True, False]


def test_violations_name_the_limits_that_are_past_with_their_excess() -> None:
    spec = make_spec(
        {"metric": "accuracy", "min": 0.9},
        {"metric": "params", "max": 1000},
        {"metric": "flops", "max": 1000},
        {"metric": "size_mib", "max": 1},
    )
    metrics = {"accuracy": 0.75, "params": MIB, "flops": 1000.0}
    assert find_violations(trial_limits(spec), metrics) == {
        "accuracy min 0.9": pytest.approx(0.15),
        "params max 1000": MIB - 1000,
        "size_mib max 1": pytest.approx(3.0),
    }


def test_a_limit_whose_metric_is_unknown_is_left_out() -> None:
    limits = trial_limits(make_spec({"metric": "flops", "max": 1000}))
    assert find_violations(limits, {"params": 9.0}) == {}


@settings(max_examples=100, deadline=None)
@given(bound=FIGURES, value=FIGURES, share=st.floats(1e-3, 1), upper=st.booleans())
def test_an_excess_is_finite_and_grows_towards_the_wrong_side(
    bound: float, value: float, share: float, *, upper: bool
) -> None:
    limit = TrialLimit("a", "loss", bound, upper, share)
    worse = value + (1 if upper else -1) * max(1.0, abs(value) * 1e-3)
    assert math.isfinite(limit.excess(value))
    assert limit.excess(worse) >= limit.excess(value)


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["max", "min"]),
    bound=st.floats(0, 1e6),
    away=st.sampled_from([0.0, 1e-12, -1e-12, 1e-6, -1e-6, 0.5, -0.5]),
)
def test_a_trial_breaks_a_limit_exactly_if_an_equal_file_does(
    kind: str, bound: float, away: float
) -> None:
    spec = make_spec({"metric": "loss", kind: bound})
    metrics = {"loss": bound + away * max(1.0, bound)}
    (margin,) = find_margins(metrics, {}, spec, "edge")
    assert bool(find_violations(trial_limits(spec), metrics)) is not margin.met


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0.01, 0.99), params=st.integers(1, 10**9), bound=st.integers(1, 10**9))
def test_a_network_that_pruning_can_bring_under_the_limit_is_never_past_it(
    cut: float, params: int, bound: int
) -> None:
    spec = make_spec({"metric": "params", "max": bound}, **pruned(paramsReduction=cut))
    is_past = bool(find_violations(trial_limits(spec), {"params": float(params)}))
    assert is_past is (params * (1 - cut) > bound * (1 + 1e-9))
