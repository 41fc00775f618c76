"""Figures read alike wherever they are shown."""

import pytest

from candidate_builder import make_candidate
from trimtab_api.metrics import KNOWN_METRICS, metric_key
from trimtab_api.reports import ChoiceOutcome
from trimtab_api.stages import StageReason
from trimtab_api.wording import (
    describe_difference,
    name_outcome,
    name_rejection,
    render_change,
    render_count,
    render_distance,
    render_metric,
    render_scalar,
    render_seconds,
    render_times,
)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("accuracy", 0.9778, "97.78 %"),
        ("size_mib", 0.0518, "0.0518 MiB"),
        ("params", 11_200_000, "11.2 M"),
        ("throughput_per_s", 13_600, "13,600 samples/s"),
        ("f1", 0.51234, "0.5123"),
        ("error", -0.05, "\N{MINUS SIGN}0.05"),
        ("margin", -1e-5, "\N{MINUS SIGN}1e-05"),
        ("loss", None, "\N{EN DASH}"),
    ],
)
def test_a_metric_has_its_unit(metric: str, value: float | None, expected: str) -> None:
    assert render_metric(metric, value) == expected


def test_every_known_metric_can_be_shown() -> None:
    assert all(render_metric(name, 1.5) for name in KNOWN_METRICS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [(-0.01, "\N{MINUS SIGN}1.00 points"), (0.005, "+0.50 points"), (-1e-9, "±0 points")],
)
def test_a_change_of_a_fraction_is_in_points(change: float, expected: str) -> None:
    assert render_change("accuracy", change) == expected


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("accuracy", 0.0165, "1.65 points"),
        ("accuracy", -0.004, "\N{MINUS SIGN}0.40 points"),
        ("loss", 0.25, "0.25"),
    ],
)
def test_a_distance_of_fractions_is_in_points(metric: str, value: float, expected: str) -> None:
    assert render_distance(metric, value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(4.24, "4.2 s"), (42, "42 s"), (190, "3 min 10 s"), (3725, "1 h 02 min")],
)
def test_a_duration_has_two_units_at_most(seconds: float, expected: str) -> None:
    assert render_seconds(seconds) == expected


def test_scalars_counts_and_factors() -> None:
    assert render_scalar(value=True) == "true"
    assert (render_scalar(0.123456), render_scalar("SGD")) == ("0.1235", "SGD")
    assert (render_count(999), render_count(94_538)) == ("999", "94.5 k")
    assert render_times(2.714) == "2.71\N{MULTIPLICATION SIGN}"


def test_a_metric_of_a_target_names_it() -> None:
    assert (metric_key("loss"), metric_key("size_mib", "edge")) == ("loss", "size_mib@edge")


@pytest.mark.parametrize(
    ("metric", "value", "reference", "expected"),
    [
        ("latency_p50_ms", 4.48, 4.0, "12 % slower"),
        ("latency_p50_ms", 4.0, 5.0, "25 % faster"),
        ("latency_p95_ms", 4.1, 4.0, "2 % slower at p95"),
        ("latency_p50_ms", 1.0, 3.9, "3.9\N{MULTIPLICATION SIGN} faster"),
        ("throughput_per_s", 110.0, 100.0, "10 % faster"),
        ("throughput_per_s", 100.0, 300.0, "3\N{MULTIPLICATION SIGN} slower"),
        ("size_mib", 8.0, 10.0, "20 % smaller"),
        ("size_mib", 2.5, 10.0, "4\N{MULTIPLICATION SIGN} smaller"),
        ("size_compressed_mib", 10.07, 10.0, "0.7 % larger compressed"),
        ("size_mib", 10.01, 10.0, "less than 0.5 % larger"),
        ("size_mib", 10.0, 10.0, "as large"),
    ],
)
def test_a_difference_is_in_percent_or_a_factor(
    metric: str, value: float, reference: float, expected: str
) -> None:
    assert describe_difference(metric, value, reference) == expected


def test_a_metric_that_is_neither_size_nor_speed_has_no_such_words() -> None:
    with pytest.raises(KeyError):
        describe_difference("accuracy", 0.9, 0.8)


def test_every_outcome_has_a_name_of_its_own() -> None:
    assert len({name_outcome(outcome) for outcome in ChoiceOutcome}) == len(ChoiceOutcome)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rejected": None, "reason": None}, ""),
        ({"rejected": "no", "reason": StageReason.NO_GAIN}, "rejected"),
        ({"rejected": "no", "reason": StageReason.BUDGET_EXCEEDED}, "over the limit"),
        ({"rejected": "no", "reason": None}, "over the limit"),
    ],
)
def test_only_what_gains_nothing_is_called_rejected(
    changes: dict[str, object], expected: str
) -> None:
    assert name_rejection(make_candidate("pruned", **changes)) == expected
