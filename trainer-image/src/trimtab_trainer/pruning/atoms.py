"""Atoms: positions of tensors that can only be removed together, collected while a graph is walked.

Used by `dependency` and the rules in `operators` and `reshaping`. An atom is a number; equalities
are noted during the walk and solved once at its end, in whole arrays, because large networks have
millions of them.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["FROZEN", "AtomVector", "Atoms"]

AtomVector: TypeAlias = NDArray[np.int64]
"""One atom for each position along one dimension of a tensor."""

FROZEN = 0
"""What is equal to this atom can never be removed."""


class Atoms:
    """All atoms of a graph and what is known of their equality."""

    def __init__(self) -> None:
        self._count = 1
        self._pairs: list[tuple[AtomVector, AtomVector]] = []

    def make(self, count: int) -> AtomVector:
        """Return atoms that are equal to no others."""
        made = np.arange(self._count, self._count + count, dtype=np.int64)
        self._count += count
        return made

    def unite(self, first: AtomVector, second: AtomVector) -> None:
        """Note that atoms are equal, pair by pair.

        Args:
            first: of any shape.
            second: of a shape that broadcasts with the other's.

        Raises:
            ValueError: the shapes do not broadcast.
        """
        left, right = np.broadcast_arrays(first, second)
        self._pairs.append((left.ravel(), right.ravel()))

    def freeze(self, vector: AtomVector) -> None:
        """Note that these atoms can never be removed."""
        self.unite(np.array([FROZEN], dtype=np.int64), vector)

    def solve(self) -> AtomVector:
        """Return the class of each atom: the smallest atom that it is equal to.

        Roots hook onto smaller neighbours, then paths are halved until all point at roots, as in
        Shiloach and Vishkin, An O(log n) parallel connectivity algorithm, 1982.
        """
        parents = np.arange(self._count, dtype=np.int64)
        empty = np.empty(0, dtype=np.int64)
        left = np.concatenate([empty, *(pair[0] for pair in self._pairs)])
        right = np.concatenate([empty, *(pair[1] for pair in self._pairs)])
        while True:
            roots = np.stack([parents[left], parents[right]])
            is_open = roots[0] != roots[1]
            if not is_open.any():
                return parents
            left, right, roots = left[is_open], right[is_open], roots[:, is_open]
            np.minimum.at(parents, roots.max(axis=0), roots.min(axis=0))
            while (parents != (halved := parents[parents])).any():
                parents = halved
