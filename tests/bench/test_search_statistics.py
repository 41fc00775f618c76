"""Runs over tables are counted, ranked and compared so that a real difference shows."""

import numpy as np
import pytest

from bench.search_statistics import compare_runs, count_to_target, mean_ranks, score_run


def test_trials_to_the_target_are_counted_from_one() -> None:
    assert count_to_target([9, 4, 2, 0], 3) == 3
    assert count_to_target([9, 4, 3], 3) is None


def test_a_run_that_finds_better_points_earlier_scores_lower() -> None:
    early, late, never = [9, 0, 9], [9, 9, 0], [9, 9, 9]
    assert score_run(early) < score_run(late) < score_run(never)
    assert score_run([0, 5]) == 0


def test_equal_methods_share_their_places() -> None:
    ranks = mean_ranks({"a": [1, 1], "b": [1, 2], "c": [0, 3]})
    assert ranks == {"a": 1.75, "b": 2.25, "c": 2.0}


def test_the_test_gives_the_exact_p_of_two_small_samples() -> None:
    """Of 20 ways to name three of six runs, two part them as far."""
    test = compare_runs([([1, 2, 3], [4, 5, 6])])
    assert test.p_value == pytest.approx(0.1, abs=0.01)
    assert test.superiority == 1


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_a_shift_within_tables_of_unequal_scale_is_found(shift: float) -> None:
    test = compare_runs(draw_tables(shift))
    assert test.p_value < 0.01
    assert (test.superiority > 0.5) == (shift > 0)


def test_equal_methods_are_told_to_differ_about_as_seldom_as_promised() -> None:
    p_values = [
        compare_runs(draw_tables(0, seed=seed), permutations=500).p_value for seed in range(100)
    ]
    assert sum(value < 0.05 for value in p_values) <= 12
    assert 0.3 < np.median(p_values) < 0.7


def test_methods_without_any_difference_have_p_one() -> None:
    test = compare_runs([([5, 5], [5, 5]), ([1, 1], [1, 1])])
    assert (test.p_value, test.superiority) == (1, 0.5)


def draw_tables(shift: float, *, seed: int = 0) -> list[tuple[list[float], list[float]]]:
    """Return scores of a method and of one that is worse by so many deviations."""
    generator = np.random.default_rng(seed)
    return [
        (
            (scale * generator.normal(size=20)).tolist(),
            (scale * (generator.normal(size=20) + shift)).tolist(),
        )
        for scale in (1, 10, 100, 1000)
    ]
