"""Which trials to stop early, judged by one metric after each epoch: ASHA, Hyperband, median.

Made by the stage, driven by the search loop; a restart notes the epochs of recorded trials again.
It knows one metric and no study, so it works with any number of objectives. How a trial is
stopped, and what its result is worth, is the loop's and the verdict's.
"""

import itertools
import math
import statistics
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence

from typing_extensions import override

from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.search import Asha, EarlyStopping, Hyperband, Median

__all__ = ["AbstractStopper", "build_stopper"]


class AbstractStopper(ABC):
    """Judges trials by what was noted of all of them."""

    @abstractmethod
    def note(self, number: int, epoch: int, value: float) -> None:
        """Take the metric of a trial after an epoch, and judge the trial by what is known now.

        A trial that runs again may repeat epochs; the last value counts.

        Args:
            number: Of the trial, counted from 0.
            epoch: Counted from 1.
            value: In the metric's unit; one that is not finite counts as the worst.
        """

    @abstractmethod
    def is_beaten(self, number: int) -> bool:
        """Return whether the trial was beaten when it was last judged."""

    @abstractmethod
    def end(self, number: int) -> None:
        """Say that a trial ended, however it did."""


def build_stopper(settings: EarlyStopping, *, direction: Direction, epochs: int) -> AbstractStopper:
    """Return the stopper that a manifest asks for.

    Args:
        settings: Which rule, and its parameters.
        direction: Which way the metric improves.
        epochs: Of a trial that is not stopped; at its last one no trial is judged.
    """
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0
    if settings.asha is not None:
        return _HalvingStopper(_plan_asha(settings.asha, epochs), [1], sign)
    if settings.hyperband is not None:
        brackets = _plan_hyperband(settings.hyperband, epochs)
        return _HalvingStopper(brackets, _share_out(settings.hyperband, len(brackets)), sign)
    if settings.median is not None:
        return _MedianStopper(settings.median, epochs, sign)
    raise ValueError(f"earlyStopping must have exactly one rule but got {settings}")


def _plan_asha(settings: Asha, epochs: int) -> list["_Bracket"]:
    return [_Bracket(settings.min_epochs, settings.reduction_factor, epochs)]


def _plan_hyperband(settings: Hyperband, epochs: int) -> list["_Bracket"]:
    """Return a bracket for each first rung within the epochs, that with the earliest one first."""
    first_rungs = itertools.takewhile(
        lambda first: first <= epochs,
        (settings.min_epochs * settings.reduction_factor**power for power in itertools.count()),
    )
    factor = settings.reduction_factor
    # Where even the earliest rung is past the last epoch, one bracket without rungs is left.
    return [_Bracket(first, factor, epochs) for first in first_rungs] or [
        _Bracket(settings.min_epochs, factor, epochs)
    ]


def _share_out(settings: Hyperband, brackets: int) -> list[int]:
    """Return how many trials of a round each bracket gets, so that their budgets are alike.

    Line 2 of algorithm 1 of the paper; the bracket with the earliest rung halves most often.
    """
    halvings = range(brackets - 1, -1, -1)
    return [
        math.ceil(brackets * settings.reduction_factor**count / (count + 1)) for count in halvings
    ]


class _Bracket:
    """Asynchronous successive halving with one first rung."""

    def __init__(self, first_rung: int, factor: int, epochs: int) -> None:
        self._factor = factor
        rungs = itertools.takewhile(
            lambda rung: rung < epochs, (first_rung * factor**power for power in itertools.count())
        )
        self._losses: dict[int, dict[int, float]] = {rung: {} for rung in rungs}

    def judge(self, number: int, epoch: int, loss: float) -> bool | None:
        """Return whether a trial is beaten at a rung; None between rungs."""
        losses = self._losses.get(epoch)
        if losses is None:
            return None
        losses[number] = loss
        best = sorted(losses.values())[: max(1, len(losses) // self._factor)]
        return loss > best[-1] or math.isinf(loss)


class _HalvingStopper(AbstractStopper):
    """ASHA, and Hyperband as several of it side by side.

    Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", in the stopping
    variant: a trial is judged once at each rung, against all that got there before, and none is
    resumed later. It goes on when it is among the best 1/factor of them; before there are
    `factor` trials, when it is the best.

    Li et al. 2018, "Hyperband", divides the trials between brackets with different first rungs.
    Here the bracket depends on the trial's number alone, mixed so that at any time each has its
    share.
    """

    def __init__(self, brackets: Sequence[_Bracket], shares: Sequence[int], sign: float) -> None:
        self._brackets = brackets
        self._spread = _spread(shares)
        self._assigned: list[int] = []
        self._sign = sign
        self._beaten: dict[int, bool] = {}

    @override
    def note(self, number: int, epoch: int, value: float) -> None:
        if epoch == 1:
            self._beaten.pop(number, None)
        verdict = self._bracket(number).judge(number, epoch, _loss(value, self._sign))
        if verdict is not None:
            self._beaten[number] = verdict

    def _bracket(self, number: int) -> _Bracket:
        missing = max(0, number + 1 - len(self._assigned))
        self._assigned.extend(itertools.islice(self._spread, missing))
        return self._brackets[self._assigned[number]]

    @override
    def is_beaten(self, number: int) -> bool:
        return self._beaten.get(number, False)

    @override
    def end(self, number: int) -> None:
        """Do nothing: at a rung all trials count that got there."""


def _spread(shares: Sequence[int]) -> Iterator[int]:
    """Yield positions of shares, always the one that is furthest behind its share."""
    total = sum(shares)
    given = [0] * len(shares)
    for count in itertools.count(1):
        behind = [share * count - had * total for share, had in zip(shares, given, strict=True)]
        position = behind.index(max(behind))
        given[position] += 1
        yield position


class _MedianStopper(AbstractStopper):
    """Stops a trial whose best value so far is worse than the median at the same epoch.

    Golovin et al. 2017, "Google Vizier", in the variant of optuna's MedianPruner: the median is
    that of the values at this epoch. Here stopped trials count too at the epochs that they
    reached; without them the median would rise with each of them, and stop ever more trials.
    """

    def __init__(self, settings: Median, epochs: int, sign: float) -> None:
        self._settings = settings
        self._epochs = epochs
        self._sign = sign
        self._losses: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._ended: set[int] = set()
        self._beaten: dict[int, bool] = {}

    @override
    def note(self, number: int, epoch: int, value: float) -> None:
        if epoch == 1:
            self._losses[number].clear()
        self._losses[number][epoch] = _loss(value, self._sign)
        self._beaten[number] = self._judge(number, epoch)

    def _judge(self, number: int, epoch: int) -> bool:
        if not self._settings.min_epochs <= epoch < self._epochs:
            return False
        if len(self._ended) < self._settings.startup_trials:
            return False
        others = [self._losses[other] for other in self._ended]
        values = [losses[epoch] for losses in others if epoch in losses]
        best = min(self._losses[number].values())
        return bool(values) and (best > statistics.median(values) or math.isinf(best))

    @override
    def is_beaten(self, number: int) -> bool:
        return self._beaten.get(number, False)

    @override
    def end(self, number: int) -> None:
        """Let a trial count for those that still run."""
        self._ended.add(number)


def _loss(value: float, sign: float) -> float:
    """Return a value of which less is better."""
    return sign * value if math.isfinite(value) else math.inf
