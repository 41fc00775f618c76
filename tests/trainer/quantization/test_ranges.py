"""Ranges cover what their method promises and never more than the values seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab_api.v1alpha1.quantize import CalibrationMethod
from trimtab_trainer.quantization.ranges import Extremes, Range, choose_range, count_magnitudes

EMPTY = Extremes(np.inf, -np.inf)


def choose(
    method: CalibrationMethod, values: NDArray[np.float32], percentile: float = 99.0
) -> Range:
    extremes = EMPTY.widen(values)
    counts = count_magnitudes(values, extremes.magnitude)
    return choose_range(method, extremes, counts, percentile=percentile)


def make_bell_with_outlier() -> NDArray[np.float32]:
    bell = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    return np.append(bell, np.float32(40.0))


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50),
    method=st.sampled_from(CalibrationMethod),
)
def test_range_stays_within_the_values_seen(values: list[float], method: CalibrationMethod) -> None:
    array = np.array(values, np.float32)
    chosen = choose(method, array)
    assert array.min() <= chosen.lowest <= chosen.highest <= array.max() or array.size == 1


@given(values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), max_size=50))
def test_every_value_is_counted_once(values: list[float]) -> None:
    array = np.array(values, np.float32)
    counts = count_magnitudes(array, float(np.abs(array).max(initial=0.0)))
    assert counts.sum() == array.size
    assert counts.shape == (2048,)


def test_counts_of_parts_add_up_to_the_counts_of_the_whole() -> None:
    values = make_bell_with_outlier()
    whole = count_magnitudes(values, 40.0)
    parts = count_magnitudes(values[:7000], 40.0) + count_magnitudes(values[7000:], 40.0)
    assert np.array_equal(whole, parts)


def test_min_max_covers_everything() -> None:
    chosen = choose(CalibrationMethod.MIN_MAX, np.array([-3.0, 0.5, 7.0], np.float32))
    assert chosen == Range(-3.0, 7.0)


def test_percentile_covers_this_share_by_magnitude() -> None:
    values = np.arange(1, 1001, dtype=np.float32)
    assert choose(CalibrationMethod.PERCENTILE, values, 99.0).highest == pytest.approx(990, abs=1)
    assert choose(CalibrationMethod.PERCENTILE, values, 100.0).highest == 1000.0


def test_percentile_cuts_the_outlier_and_keeps_the_bell() -> None:
    chosen = choose(CalibrationMethod.PERCENTILE, make_bell_with_outlier(), 99.9)
    assert chosen.highest == pytest.approx(3.3, abs=0.3)
    assert chosen.lowest == pytest.approx(-3.3, abs=0.3)


def test_entropy_cuts_the_outlier_and_keeps_the_bell() -> None:
    chosen = choose(CalibrationMethod.ENTROPY, make_bell_with_outlier())
    assert 2.5 < chosen.highest < 8.0


def test_entropy_keeps_evenly_spread_values() -> None:
    values = np.linspace(0, 1, 100_000, dtype=np.float32)
    assert choose(CalibrationMethod.ENTROPY, values).highest == pytest.approx(1.0, abs=0.01)


def test_entropy_is_not_misled_by_the_zeros_of_relu() -> None:
    bell = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    rectified = np.concatenate([np.maximum(bell, 0), np.zeros(200_000, np.float32)])
    assert choose(CalibrationMethod.ENTROPY, rectified).highest > 2.5


@pytest.mark.parametrize("method", CalibrationMethod)
def test_a_side_without_values_is_not_covered(method: CalibrationMethod) -> None:
    values = np.random.default_rng(0).random(1000).astype(np.float32)
    assert choose(method, values).lowest >= 0.0
    assert choose(method, -values).highest <= 0.0


@pytest.mark.parametrize("method", CalibrationMethod)
def test_an_activation_that_is_always_zero_gets_an_empty_range(method: CalibrationMethod) -> None:
    assert choose(method, np.zeros(10, np.float32)) == Range(0.0, 0.0)
