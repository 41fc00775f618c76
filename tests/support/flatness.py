"""Whether a process that works on and on, measured at rest, keeps what it needs or ever more.

A process takes a while until it has all that it will keep, so the first quarter says nothing. What
is compared are the medians of the second and of the last quarter: single outliers do not count, a
leak does, since half of all work lies between the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Allowance", "list_growing", "measure_drift"]

_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Allowance:
    """By how much something may grow: with each cycle, and once."""

    each: float
    once: float


def list_growing(
    series: Mapping[str, Sequence[float]], allowed: Mapping[str, Allowance], *, every: int
) -> list[str]:
    """Return what grew by more than is allowed, with its figures.

    Args:
        series: Name → a value per `every` cycles.
        allowed: Name → how much.
        every: Cycles between two values.

    Raises:
        ValueError: There are too few values.
    """
    found = []
    for name, values in series.items():
        before, after, cycles = measure_drift(values, every=every)
        most = allowed[name].each * cycles + allowed[name].once
        if after - before > most:
            grown = f"{name} grew from {before:.0f} to {after:.0f} in {cycles} cycles"
            found.append(f"{grown}, by more than {most:.0f}")
    return found


def measure_drift(values: Sequence[float], *, every: int) -> tuple[float, float, int]:
    """Return the medians of the second and of the last quarter, and the cycles between them.

    Raises:
        ValueError: There are too few values.
    """
    if len(values) < _FEWEST:
        raise ValueError(f"at least {_FEWEST} values are needed but there are {len(values)}")
    quarter = len(values) // 4
    apart = len(values) - 2 * quarter
    return median(values[quarter : 2 * quarter]), median(values[-quarter:]), apart * every
