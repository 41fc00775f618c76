"""The trial of the overhead benchmark: it sleeps, and says from when to when.

Used by every way to run it, so that all search the same space for the same loss. What trials cost
beyond their sleep is computed here; who runs them is the ways' business.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, FloatDistribution

from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import LogUniform, Parameter, SearchSpace, Uniform

__all__ = [
    "DISTRIBUTIONS",
    "OBJECTIVE",
    "PARAMETERS",
    "RATE",
    "SHARE",
    "Measured",
    "RunTrials",
    "Stamp",
    "sleep_and_score",
]

_MILLISECONDS = 1000

RATE = "train.learningRate"
SHARE = "train.momentum"
PARAMETERS = (
    Parameter(name=RATE, search_space=SearchSpace(log_uniform=LogUniform(min=1e-4, max=1))),
    Parameter(name=SHARE, search_space=SearchSpace(uniform=Uniform(min=0, max=1))),
)
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    RATE: FloatDistribution(1e-4, 1, log=True),
    SHARE: FloatDistribution(0, 1),
}
OBJECTIVE = Objective(metric="loss", direction=Direction.MINIMIZE)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a trial began and ended to sleep, on the clock that all processes of a machine share."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A run of trials."""

    stamps: Sequence[Stamp]
    """At least one more than workers."""
    wall: float
    """Seconds from the call to the result; what the host had started before is not in it."""
    workers: int

    @property
    def whole_ms(self) -> float:
        """Return wall time beyond sleep per trial, in ms: with what the run itself starts."""
        return _MILLISECONDS * (self.wall - self._slept / self.workers) / len(self.stamps)

    @property
    def between_ms(self) -> float:
        """Return how long a worker is without a trial between two of them, in ms."""
        gaps = len(self.stamps) - self.workers
        return _MILLISECONDS * (self.workers * self._span - self._slept) / gaps

    @property
    def utilization(self) -> float:
        """Return how much of the time from the first trial to the last was slept, in percent."""
        return 100 * self._slept / (self.workers * self._span)

    @property
    def _slept(self) -> float:
        return sum(stamp.end - stamp.begin for stamp in self.stamps)

    @property
    def _span(self) -> float:
        first = min(stamp.begin for stamp in self.stamps)
        return max(stamp.end for stamp in self.stamps) - first


RunTrials = Callable[[int, float, int], Measured]
"""Runs so many trials of so many seconds on so many workers."""


def sleep_and_score(rate: float, share: float, seconds: float) -> dict[str, float]:
    """Sleep; return the loss and, on the monotonic clock, when the sleep began and ended."""
    begin = time.monotonic()
    time.sleep(seconds)
    loss = (rate - 0.01) ** 2 + (share - 0.5) ** 2
    return {"loss": loss, "begin": begin, "end": time.monotonic()}
