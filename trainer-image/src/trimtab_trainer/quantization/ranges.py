"""From the values of an activation to the range that 8 bits shall cover.

Called by the quantization seam, which runs the model twice over the calibration samples: once for
the extremes, once for the histogram. Nothing here knows a runtime or a graph.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from trimtab_api.v1alpha1.quantize import CalibrationMethod

__all__ = ["Extremes", "Range", "choose_range", "count_magnitudes"]

_BINS = 2048
_LEVELS = 256
_SMALLEST_MAGNITUDE = 1e-30
"""Less than that is zero here; its inverse would leave float32."""
_CANDIDATE_STEP = 8
"""Bins between two candidates of the entropy method: 0.4 % of the largest magnitude."""


@dataclass(frozen=True, slots=True)
class Extremes:
    """Smallest and largest value of an activation over all calibration samples."""

    lowest: float
    highest: float

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.lowest), abs(self.highest))

    def widen(self, values: NDArray[np.float32]) -> "Extremes":
        """Return the extremes with these values taken into account; no values change nothing."""
        if values.size == 0:
            return self
        lowest, highest = float(values.min()), float(values.max())
        return Extremes(min(self.lowest, lowest), max(self.highest, highest))


@dataclass(frozen=True, slots=True)
class Range:
    """The values from lowest to highest are told apart, the others are clipped."""

    lowest: float
    highest: float


def count_magnitudes(values: NDArray[np.float32], magnitude: float) -> NDArray[np.int64]:
    """Count absolute values in equal bins over 0…magnitude.

    Args:
        values: Any shape, finite.
        magnitude: Upper edge of the last bin, at least the largest absolute value.

    Returns:
        Counts, shape (2048,); counts of several calls may be added.
    """
    bins = np.abs(values).ravel()
    bins *= np.float32(_BINS / max(magnitude, _SMALLEST_MAGNITUDE))
    counts = np.bincount(bins.astype(np.int64), minlength=_BINS + 1)
    # The largest magnitude itself, and nothing else, comes out as one bin too many.
    counts[_BINS - 1] += counts[_BINS]
    return counts[:_BINS]


def choose_range(
    method: CalibrationMethod,
    extremes: Extremes,
    counts: NDArray[np.int64],
    *,
    percentile: float,
) -> Range:
    """Choose the range of one activation.

    MinMax covers all values. Percentile covers this share of them by magnitude. Entropy takes the
    magnitude at which the histogram, reduced to the levels of 8 bits, tells least apart from the
    full one: Migacz, "8-bit inference with TensorRT", GTC 2017. The clipping is symmetric; a side
    without values is not covered.

    Args:
        method: How to choose.
        extremes: Of the same values as the counts.
        counts: From `count_magnitudes`, shape (2048,), up to the extremes' magnitude.
        percentile: In percent, for Percentile.

    Returns:
        The range, never wider than the extremes.
    """
    match method:
        case CalibrationMethod.MIN_MAX:
            clip = extremes.magnitude
        case CalibrationMethod.PERCENTILE:
            clip = extremes.magnitude * _find_percentile_bin(counts, percentile) / _BINS
        case CalibrationMethod.ENTROPY:
            levels = _LEVELS if extremes.lowest >= 0 or extremes.highest <= 0 else _LEVELS // 2
            clip = extremes.magnitude * _find_entropy_bin(counts, levels) / _BINS
        case _:
            assert_never(method)
    return Range(max(extremes.lowest, -clip), min(extremes.highest, clip))


def _find_percentile_bin(counts: NDArray[np.int64], percentile: float) -> int:
    # The smallest number of bins that hold this share.
    wanted = counts.sum() * percentile / 100
    return min(int(np.searchsorted(np.cumsum(counts), wanted)) + 1, _BINS)


def _find_entropy_bin(counts: NDArray[np.int64], levels: int) -> int:
    weights = counts.astype(np.float64)
    # ReLU and padding fill the first bin with exact zeros, which every range represents; counted
    # as they are they would ask for the finest levels around zero at the cost of all else. NVIDIA's
    # pytorch-quantization flattens this bin in the same way.
    weights[0] = weights[1]
    if not weights.any():
        return _BINS
    candidates = range(levels, _BINS + 1, _CANDIDATE_STEP)
    return min(candidates, key=lambda bins: _measure_divergence(weights, bins, levels))


def _measure_divergence(weights: NDArray[np.float64], bins: int, levels: int) -> float:
    """Kullback-Leibler divergence of the first bins, clipped, from themselves on few levels."""
    inside = weights[:bins]
    if not inside.any():
        return float("inf")
    clipped = inside.copy()
    clipped[-1] += weights[bins:].sum()
    level = np.arange(bins) * levels // bins
    occupied = np.bincount(level, weights=inside > 0, minlength=levels)
    mass = np.bincount(level, weights=inside, minlength=levels)
    even = (mass / np.maximum(occupied, 1))[level] * (inside > 0)
    reference, reduced = clipped / clipped.sum(), even / even.sum()
    present = reference > 0
    smallest = np.finfo(np.float64).eps
    ratio = reference[present] / np.maximum(reduced[present], smallest)
    return float(np.sum(reference[present] * np.log(ratio)))
