"""Groups of coupled channels: what must be removed together so that a model stays whole.

Found by `dependency`, ranked by `importance`, cut by `cutter`. Plain data in our own types, so
that the rest of the package can be used with hand-made groups.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import gcd

__all__ = ["ChannelGroup", "GroupKind", "Member"]


class GroupKind(StrEnum):
    """What the units of a group are; the values are those of `prune.granularity`."""

    NEURONS = "Neurons"
    """Outputs of fully connected layers, or attention heads."""
    FILTERS = "Filters"
    """Filters of convolutions, alone or coupled with outputs of fully connected layers."""


@dataclass(frozen=True, slots=True)
class Member:
    """One dimension of one tensor in a group; entry i says that a position belongs to a unit."""

    tensor: str
    """Qualified name of the parameter or buffer in the model."""
    dimension: int
    """The dimension that shrinks."""
    positions: tuple[int, ...]
    """Positions along this dimension, ascending. The others belong to other groups or to none."""
    channels: tuple[int, ...]
    """The group's unit, 0…width-1, of each position. Several positions share one unit where a
    feature map is flattened, in attention heads and in grouped convolutions."""


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Units that run through several layers and can only be removed from all of them."""

    root: str
    """Name of the first layer that makes the units; identifies the group. A layer with several
    groups has `layer`, `layer#2`, …"""
    kind: GroupKind
    """What the units are."""
    width: int
    """Number of units, at least 1."""
    members: tuple[Member, ...]
    """All dimensions of tensors that hold these units, the root's first. No tensor's dimension is
    there twice."""
    producers: tuple[str, ...] = ()
    """Names of the modules whose outputs the units are, in the order of the computation. Tensors
    of other modules scale the units or read them."""
    unit_size: int = 1
    """Outputs of the root that one unit stands for: channels of a group of a convolution, width of
    an attention head."""

    def step(self, round_to: int) -> int:
        """Return of which number the units must be a multiple, so that the channels are.

        Args:
            round_to: number of which the outputs of the root shall be a multiple, at least 1.
        """
        return round_to // gcd(round_to, self.unit_size)
