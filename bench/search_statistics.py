"""What runs over tables amount to: trials to a target, mean ranks, and a test for equality. Pure.

Called by the search benchmark. A run is the sequence of its trials' ranks in the table: how many
points of it are better than the trial's, 0 for the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

__all__ = ["RankTest", "compare_runs", "count_to_target", "mean_ranks", "score_run"]

Floats = NDArray[np.float64]


def count_to_target(run: Sequence[int], top: int) -> int | None:
    """Return how many trials it took to find one of the `top` best points; None if none did."""
    return next((number for number, rank in enumerate(run, start=1) if rank < top), None)


def score_run(run: Sequence[int]) -> float:
    """Return how good a run was from start to end: the mean of log(1 + best rank so far).

    Smaller is better. Other than trials to a target it has a value for every run, so that runs
    that miss the target can be told apart.
    """
    return float(np.mean(np.log1p(list(accumulate(run, min)))))


def mean_ranks(bests: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return each method's place among all, averaged over cases; 1 is the best.

    Methods that are equal share the mean of their places.

    Args:
        bests: Method → its best value in each case, smaller is better; the same cases for all.
    """
    table = np.array(list(bests.values()), dtype=np.float64)
    places = np.stack([_rank_with_ties(case) for case in table.T], axis=1)
    return dict(zip(bests, places.mean(axis=1).tolist(), strict=True))


def _rank_with_ties(values: Floats) -> Floats:
    """Return ranks from 1, equal values at the mean of their places."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    ranks: Floats = (below + up_to + 1) / 2
    return ranks


@dataclass(frozen=True, slots=True)
class RankTest:
    """How two methods compare over several tables."""

    p_value: float
    """Two-sided: how often chance alone would part equal methods this far."""
    superiority: float
    """How likely a run of the first method has a smaller score than one of the second; 0.5 where
    they are alike."""


def compare_runs(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    permutations: int = 20_000,
    seed: int = 0,
) -> RankTest:
    """Test whether two methods score alike, table by table.

    The statistic is van Elteren's ("On the combination of independent two-sample tests of
    Wilcoxon", 1960): rank sums within each table, weighted by 1/(runs + 1). Its distribution is
    found by shuffling the methods' names within each table.

    Args:
        pairs: Per table, scores of the runs of the first and of the second method.
        permutations: Shuffles.
        seed: Of the shuffles.
    """
    generator = np.random.default_rng(seed)
    observed, shuffled = 0.0, np.zeros(permutations)
    wins = []
    for first, second in pairs:
        ranks = _rank_with_ties(np.array([*first, *second]))
        centred = (ranks - ranks.mean()) / (len(ranks) + 1)
        observed += float(centred[: len(first)].sum())
        rows = generator.permuted(np.tile(centred, (permutations, 1)), axis=1)
        shuffled += rows[:, : len(first)].sum(axis=1)
        below = float(ranks[: len(first)].sum()) - len(first) * (len(first) + 1) / 2
        wins.append(1 - below / (len(first) * len(second)))
    # Sums of the same numbers in another order differ in their last digits.
    extreme = np.count_nonzero(np.abs(shuffled) >= abs(observed) - 1e-9)
    return RankTest((1 + int(extreme)) / (1 + permutations), float(np.mean(wins)))
