"""Tables are read whole, and every way to search one is driven over real points of it."""

import numpy as np
import pytest

from bench.hpo_tables import load_table
from bench.search_methods import Method, Task, drive

TABLE = "NASBench201/cifar10"


def test_a_tables_best_points_are_those_with_the_best_results() -> None:
    table = load_table(TABLE)
    assert table.values.size == 5**6
    assert table.top == 16
    best = table.values[table.ranks < table.top]
    assert best.min() > table.values[table.ranks >= table.top].max()
    assert table.ranks[np.unravel_index(table.values.argmax(), table.values.shape)] == 0


def test_ordered_choices_are_searched_by_position_and_words_as_they_are() -> None:
    table = load_table("HPOLib/protein_structure")
    point = {axis.name: 0 if axis.is_ordered else axis.choices[0] for axis in table.axes}
    assert table.find(point) == (0,) * 9
    assert [axis.is_ordered for axis in table.axes].count(True) == 6


@pytest.mark.parametrize("method", [each for each in Method if "GP" not in each])
def test_a_method_gives_as_many_ranks_as_trials_and_the_same_for_a_seed(method: Method) -> None:
    task = Task(TABLE, method, seed=3, trials=12)
    run = drive(task)
    assert len(run) == 12
    assert all(0 <= rank < 5**6 for rank in run)
    assert drive(task) == run
