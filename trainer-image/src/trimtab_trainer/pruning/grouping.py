"""From atoms to groups: which positions of which tensors go together, as plain data.

Called by `dependency` when its walk has ended. Works on whole arrays: networks with many joined
maps have millions of positions.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_trainer.pruning.atoms import FROZEN, AtomVector
from trimtab_trainer.pruning.groups import ChannelGroup, GroupKind, Member
from trimtab_trainer.pruning.walk import Producer, Slot

__all__ = ["collect_groups"]


@dataclass(frozen=True, slots=True)
class _Rows:
    """All positions of all slots, one row each, in the order of slots and positions."""

    slot: AtomVector
    """Number of the slot."""
    position: AtomVector
    unit: AtomVector
    """Class of the atom at the position."""


def collect_groups(
    slots: Mapping[Slot, AtomVector], producers: Sequence[Producer], classes: AtomVector
) -> tuple[ChannelGroup, ...]:
    """Collect the units that may be removed, those with as many positions in each slot in a group.

    Args:
        slots: atoms of each dimension of a parameter or buffer.
        producers: layers that make atoms, in the order of the computation.
        classes: class of each atom.

    Returns:
        Groups of two units or more, in the order in which their first units are made.
    """
    if not producers:
        return ()
    rows = _make_rows(slots, classes)
    makers: dict[int, list[Producer]] = defaultdict(list)
    for producer in producers:
        for unit in dict.fromkeys(classes[slots[producer.slot]].tolist()):
            makers[unit].append(producer)
    makers.pop(FROZEN, None)
    signatures = _sign_units(rows, len(slots), len(classes))
    alike: dict[int, list[int]] = defaultdict(list)
    for unit in makers:
        alike[int(signatures[unit])].append(unit)
    groups = [units for units in alike.values() if len(units) > 1]
    members = _make_members(rows, tuple(slots), groups, len(classes))
    names = Counter[str]()
    return tuple(
        _make_group(makers[units[0]], held, len(units), names)
        for units, held in zip(groups, members, strict=True)
    )


def _make_rows(slots: Mapping[Slot, AtomVector], classes: AtomVector) -> _Rows:
    lengths = [len(atoms) for atoms in slots.values()]
    return _Rows(
        slot=np.repeat(np.arange(len(lengths), dtype=np.int64), lengths),
        position=np.concatenate([np.arange(length, dtype=np.int64) for length in lengths]),
        unit=classes[np.concatenate(list(slots.values()))],
    )


def _sign_units(rows: _Rows, slots: int, units: int) -> AtomVector:
    """Return a number for each unit that is equal where the counts of positions by slot are.

    It is the sum of random marks of the slots, after Zobrist, A New Hashing Method, 1970.
    """
    marks = np.random.default_rng(0).integers(2**62, size=slots, dtype=np.int64)
    signatures = np.zeros(units, dtype=np.int64)
    np.add.at(signatures, rows.unit, marks[rows.slot])
    return signatures


def _make_members(
    rows: _Rows, slots: Sequence[Slot], groups: Sequence[Sequence[int]], units: int
) -> list[dict[Slot, Member]]:
    group_of, number_of = np.full(units, -1, dtype=np.int64), np.zeros(units, dtype=np.int64)
    for index, group in enumerate(groups):
        group_of[group], number_of[group] = index, np.arange(len(group))
    members: list[dict[Slot, Member]] = [{} for _ in groups]
    group_of_row = group_of[rows.unit]
    # Stable, so that rows of a group stay in the order of slots and positions.
    order = np.argsort(group_of_row, kind="stable")
    order = order[group_of_row[order] >= 0]
    is_start = (np.diff(group_of_row[order], prepend=-1) != 0) | (
        np.diff(rows.slot[order], prepend=-1) != 0
    )
    for run in np.split(order, np.flatnonzero(is_start)[1:]):
        if len(run):
            slot = slots[rows.slot[run[0]]]
            members[group_of_row[run[0]]][slot] = Member(
                tensor=slot[0],
                dimension=slot[1],
                positions=tuple(rows.position[run].tolist()),
                channels=tuple(number_of[rows.unit[run]].tolist()),
            )
    return members


def _make_group(
    makers: Sequence[Producer], members: Mapping[Slot, Member], width: int, names: Counter[str]
) -> ChannelGroup:
    first = makers[0]
    names[first.module] += 1
    number = names[first.module]
    is_linear = all(maker.kind is GroupKind.NEURONS for maker in makers)
    root = members[first.slot]
    return ChannelGroup(
        root=first.module if number == 1 else f"{first.module}#{number}",
        kind=GroupKind.NEURONS if is_linear else GroupKind.FILTERS,
        width=width,
        members=(root, *(member for slot, member in members.items() if slot != first.slot)),
        producers=tuple(dict.fromkeys(maker.module for maker in makers)),
        unit_size=len(root.positions) // (width * first.copies),
    )
