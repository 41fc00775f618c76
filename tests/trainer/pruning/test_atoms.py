"""Equalities between atoms are solved as a plain union-find would."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimtab_trainer.pruning.atoms import FROZEN, Atoms


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_class_is_the_smallest_of_all_equal_atoms(pairs: list[tuple[int, int]]) -> None:
    atoms = Atoms()
    vector = atoms.make(20)
    for first, second in pairs:
        atoms.unite(vector[[first]], vector[[second]])
    classes = list(range(20))
    for first, second in pairs:
        low, high = sorted((classes[first], classes[second]))
        classes = [low if known == high else known for known in classes]

    assert (atoms.solve()[vector] - vector[0]).tolist() == classes


def test_frozen_atoms_freeze_all_that_equal_them() -> None:
    atoms = Atoms()
    first, second = atoms.make(3), atoms.make(3)
    atoms.unite(first, second)
    atoms.freeze(second[1:2])

    assert (atoms.solve()[np.concatenate([first, second])] == FROZEN).tolist() == [
        False, True, False, False, True, False,
    ]  # fmt: skip


def test_long_chains_are_solved() -> None:
    atoms = Atoms()
    vector = np.random.default_rng(0).permutation(atoms.make(5000))
    atoms.unite(vector[:-1], vector[1:])

    assert set(atoms.solve()[vector].tolist()) == {1}
