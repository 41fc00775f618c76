"""Whether a series that is measured at rest stays where it is, whatever it wavers by.

A process needs a while until it has all that it will keep, so the first quarter says nothing. What
is compared are the medians of the second and of the last quarter: single outliers do not count, a
leak does, since half of all work lies between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Drift", "measure_drift"]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a series went."""

    before: float
    """Median of the second quarter."""
    after: float
    """Median of the last one."""
    cycles: float
    """How much work lies between them."""

    def is_flat(self, *, each: float, slack: float) -> bool:
        """Return whether it grew by less than `each` a cycle, and `slack` once."""
        return self.after - self.before <= each * self.cycles + slack


def measure_drift(values: Sequence[float], *, every: int) -> Drift:
    """Compare the second quarter of a series with its last.

    Args:
        values: One per `every` cycles, at least eight.
        every: Cycles between two values.

    Raises:
        ValueError: There are too few.
    """
    quarter = len(values) // 4
    if quarter < 2:
        raise ValueError(f"at least 8 values are needed but there are {len(values)}")
    second, last = values[quarter : 2 * quarter], values[-quarter:]
    apart = len(values) - 2 * quarter
    return Drift(before=median(second), after=median(last), cycles=apart * every)
