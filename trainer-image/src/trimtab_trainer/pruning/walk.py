"""One walk over an exported program: what is known of each value while channels are followed.

Made by `dependency`; the rules in `operators` and `reshaping` read and extend it. A label says
which atoms stand along a dimension of a value; a dimension without a label has a fixed size.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch.fx import Node

from trimtab_trainer.pruning.atoms import Atoms, AtomVector
from trimtab_trainer.pruning.groups import GroupKind

__all__ = ["Call", "Labels", "Producer", "Shape", "Slot", "Value", "Walk", "shape_of"]

Shape: TypeAlias = tuple[int, ...]

Slot: TypeAlias = tuple[str, int]
"""A dimension of a parameter or buffer: its qualified name and the dimension."""

Labels: TypeAlias = Mapping[int, AtomVector]
"""Dimension of a value → its atoms."""

Value: TypeAlias = Labels | tuple[Labels, ...]
"""Labels of what an operation returns, one tensor or several."""


def shape_of(node: Node) -> Shape:
    """Return the shape of the tensor that a node gives."""
    return tuple(int(size) for size in node.meta["val"].shape)


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of the program."""

    node: Node
    name: str
    """Of the operation in ATen, without overload and without the mark of work in place."""
    arguments: Mapping[str, Any]
    """By name as in its schema, defaults included."""

    @property
    def rank(self) -> int:
        """Number of dimensions of the first argument."""
        return len(shape_of(self.input))

    @property
    def input(self) -> Node:
        """The first argument, which torch calls input."""
        node: Node = self.arguments["input"]
        return node

    @property
    def tensors(self) -> Sequence[Node]:
        """The argument `tensors`."""
        nodes: Sequence[Node] = self.arguments["tensors"]
        return nodes

    def dimension(self, name: str = "dim") -> int:
        """Return an argument that names a dimension of the input, counted from the front."""
        return int(self.arguments[name]) % self.rank


@dataclass(frozen=True, slots=True)
class Producer:
    """A layer whose outputs are atoms of their own."""

    module: str
    """Its name in the model."""
    kind: GroupKind
    """What one of its outputs is."""
    slot: Slot
    """Whose positions number the outputs."""
    copies: int = 1
    """Positions of the slot that belong to one output."""


@dataclass(slots=True)
class Walk:
    """What the walk has found so far."""

    parameters: Mapping[str, str]
    """Name of a node → qualified name of its parameter or buffer."""
    head_slots: Mapping[Slot, AtomVector]
    """Slots of attention modules that hold heads."""
    atoms: Atoms
    slots: dict[Slot, AtomVector] = field(default_factory=dict)
    """All slots that the program uses."""
    producers: list[Producer] = field(default_factory=list)
    """In the order of the computation."""
    values: dict[Node, Value] = field(default_factory=dict)
    """What each operation gave."""

    def labels(self, node: Node | None) -> Labels:
        """Return the labels of an argument; an absent one has none."""
        value = {} if node is None else self.values[node]
        if isinstance(value, tuple):
            raise TypeError(f"{node} gives several tensors; expected one")
        return value

    def merge(self, labels: Sequence[AtomVector | None]) -> AtomVector | None:
        """Note that dimensions of the same size are one, and return its label.

        Where one of them has a fixed size, none of the atoms can go.
        """
        vectors = [label for label in labels if label is not None]
        if len(vectors) < len(labels):
            self.freeze(vectors)
            return None
        for vector in vectors[1:]:
            self.atoms.unite(vectors[0], vector)
        return vectors[0] if vectors else None

    def freeze(self, labels: Iterable[AtomVector]) -> None:
        """Note that these atoms can never be removed."""
        for vector in labels:
            self.atoms.freeze(vector)

    def freeze_dimensions(self, labels: Labels, dimensions: Iterable[int]) -> Labels:
        """Freeze what stands along some dimensions, and return the labels of the others."""
        frozen = set(dimensions)
        self.freeze(label for dimension, label in labels.items() if dimension in frozen)
        return {dimension: label for dimension, label in labels.items() if dimension not in frozen}

    def add_producer(
        self, weight: Node, kind: GroupKind, *, dimension: int, copies: int = 1
    ) -> None:
        """Note that the layer that owns this weight makes atoms along a dimension of it."""
        name = self.parameters.get(weight.name)
        if name is not None and (name, dimension) in self.slots:
            module = name.rpartition(".")[0] or name
            self.producers.append(Producer(module, kind, (name, dimension), copies))
