"""Figures read alike wherever they are shown."""

import pytest

from trimtab_api.metrics import KNOWN_METRICS, metric_key
from trimtab_api.wording import (
    render_change,
    render_count,
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
        ("throughput_per_s", 13_600, "13,600 /s"),
        ("f1", 0.51234, "0.5123"),
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
