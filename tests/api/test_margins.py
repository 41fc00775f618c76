"""Margins say how far what would ship is from each limit, and one figure how good the front is."""

from typing import Any

import pytest

from candidate_builder import CANDIDATES, TARGET, make_candidate
from progress_builder import make_progress, make_target_report
from report_builder import make_manifest
from trimtab_api.defaults import expand_spec
from trimtab_api.margins import LimitKind, LimitMargin, list_margins
from trimtab_api.outcome import measure_margins
from trimtab_api.pareto import find_front, measure_hypervolume
from trimtab_api.v1alpha1.goals import Constraint, Profile
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import ParetoPoint
from trimtab_api.validation import parse_job

BASELINE = make_candidate("dense").metrics
PI = {"name": "pi", "profile": "cpu-edge", "nodeSelector": {"kubernetes.io/arch": "arm64"}}


def make_spec(**changes: Any) -> Spec:
    spec = parse_job(make_manifest(**changes)).spec
    return expand_spec(spec, cores=2, detected=Profile.CPU_SERVER)


def measure(*constraints: dict[str, Any]) -> dict[tuple[str, str], float]:
    spec = make_spec(constraints=list(constraints))
    margins = list_margins([make_candidate("pruned")], BASELINE, spec, spec.targets)
    assert {margin.target for margin in margins} <= {TARGET}
    return {(margin.metric, margin.limit): margin.value for margin in margins}


def point(**metrics: float) -> ParetoPoint:
    return ParetoPoint(id="x", feasible=True, metrics=metrics)


def test_every_kind_of_limit_has_a_word() -> None:
    fields = Constraint.model_fields
    assert [fields[kind].alias or kind for kind in Constraint.union] == list(LimitKind)


def test_a_margin_is_the_distance_to_the_limit_in_its_unit_and_negative_where_it_is_missed() -> (
    None
):
    assert measure(
        {"metric": "accuracy", "maxDrop": 0.01},
        {"metric": "size_mib", "max": 0.1},
        {"metric": "speedup", "target": TARGET, "min": 1.5},
    ) == {
        ("accuracy", "maxDrop"): pytest.approx(0.01 - (0.9778 - 0.9741)),
        ("size_mib", "max"): pytest.approx(0.1 - 0.1622),
        ("speedup", "min"): pytest.approx(0.1410 / 0.0893 - 1.5),
    }


def test_of_limits_alike_the_one_nearer_to_being_missed_counts() -> None:
    loose = {"metric": "size_mib", "max": 9}
    strict = {"metric": "size_mib", "max": 1, "target": TARGET}
    expected = {("size_mib", "max"): pytest.approx(1 - 0.1622)}
    assert measure(loose, strict) == measure(strict, loose) == expected


def test_what_was_not_measured_has_no_margin() -> None:
    spec = make_spec()
    bare = make_candidate("pruned", metrics={"accuracy": 0.97})
    assert list_margins([bare], BASELINE, spec, spec.targets) == ()


def test_margins_of_a_placed_target_come_from_its_own_job_and_the_others_from_the_driver() -> None:
    spec = make_spec(
        targets=[{"name": TARGET, "profile": "cpu-edge"}, PI],
        constraints=[{"metric": "speedup", "min": 2}],
    )
    told = LimitMargin(metric="speedup", target=TARGET, limit=LimitKind.MIN, value=0.25)
    report = make_progress(
        margins=(told, told.model_copy(update={"target": "pi", "value": 9.0})),
        candidates=tuple(
            entry.model_copy(update={"metrics": {**entry.metrics, "size_mib@pi": 0.1}})
            for entry in make_progress().candidates
        ),
    )
    assert measure_margins(spec, report, {}) == report.margins
    margins = measure_margins(spec, report, {"pi": make_target_report()})
    assert [(entry.target, entry.value) for entry in margins] == [(TARGET, 0.25), ("pi", 1.0)]


def test_the_front_of_the_dense_model_alone_has_the_quality_one() -> None:
    spec = make_spec()
    front = find_front([make_candidate("dense")], BASELINE, spec)
    assert measure_hypervolume(front, BASELINE, spec) == pytest.approx(1.0)


def test_a_front_is_better_the_more_it_reaches_and_worse_points_add_nothing() -> None:
    spec, baseline = make_spec(), {"accuracy": 0.8, "size_mib@edge": 2.0}
    half = point(**{"accuracy": 0.8, "size_mib@edge": 1.0})
    better = point(**{"accuracy": 0.88, "size_mib@edge": 2.0})
    huge = point(**{"accuracy": 0.9, "size_mib@edge": 5.0})
    assert measure_hypervolume([half], baseline, spec) == pytest.approx(1.5)
    assert measure_hypervolume([half, better], baseline, spec) == pytest.approx(1.6)
    assert measure_hypervolume([half, better, huge], baseline, spec) == pytest.approx(1.6)


def test_a_front_that_cannot_be_compared_has_no_quality() -> None:
    spec = make_spec()
    assert measure_hypervolume([], BASELINE, spec) is None
    assert measure_hypervolume([point(accuracy=0.5)], {"accuracy": 0.0}, spec) is None


def test_every_candidate_that_there_can_be_is_measured_at_once() -> None:
    spec = make_spec()
    front = find_front([make_candidate(name) for name in CANDIDATES], BASELINE, spec)
    quality = measure_hypervolume(front, BASELINE, spec)
    assert quality is not None
    assert 1.0 < quality < 2 ** len(front[0].metrics)
