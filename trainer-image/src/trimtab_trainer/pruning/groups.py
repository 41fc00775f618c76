"""Groups of coupled channels: what must be removed together so that a model stays whole.

Found by `dependency`, ranked by `importance`, cut by `cutter`. Plain data in our own types, so
that the rest of the package can be used with hand-made groups and any tracer.
"""

from dataclasses import dataclass

from trimtab_trainer.pruning.layers import Direction

__all__ = ["ChannelGroup", "Member"]


@dataclass(frozen=True, slots=True)
class Member:
    """One side of one layer in a group; entry i says that a position belongs to a channel."""

    layer: str
    """Name of the module in the model."""
    direction: Direction
    """The side of the layer."""
    positions: tuple[int, ...]
    """Positions along this side's dimension."""
    channels: tuple[int, ...]
    """The group's channel, 0…width-1, of each position. Several positions share one channel
    where a feature map is flattened."""


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that run through several layers and can only be removed from all of them."""

    root: str
    """Name of the layer whose outputs number the channels; identifies the group."""
    width: int
    """Number of channels."""
    members: tuple[Member, ...]
    """All sides of layers that hold these channels, the root's first."""
