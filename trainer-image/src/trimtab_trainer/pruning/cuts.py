"""Cuts: which channels a pruned model kept, as records that rebuild it from a dense one.

Made by `cutter`, stored beside the weights of a pruned model, and replayed on a freshly built
model before such weights are loaded. A replay needs neither an example input nor a trace.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.pruning.layers import (
    Direction,
    channel_count,
    has_cuttable_channels,
    narrow_layer,
)

__all__ = ["Cut", "merge_cuts", "parse_cuts", "render_cuts", "replay_cuts"]


@dataclass(frozen=True, slots=True)
class Cut:
    """One side of one layer after pruning."""

    layer: str
    """Name of the module in the model."""
    direction: Direction
    """The side that lost channels."""
    kept: tuple[int, ...]
    """Positions that stay, ascending, counted before the cut."""


def replay_cuts(model: nn.Module, cuts: Iterable[Cut]) -> None:
    """Remove physically, in place, what these cuts do not keep.

    Args:
        model: the model as it was before the cuts; its parameters are replaced by narrower
            ones, so that optimizers must be made afterwards.
        cuts: at most one of each layer and direction.

    Raises:
        CheckpointRefusedError: a cut names a layer or channel that the model does not have.
    """
    layers = dict(model.named_modules())
    for cut in cuts:
        layer = layers.get(cut.layer)
        if layer is None or not has_cuttable_channels(layer):
            raise CheckpointRefusedError(
                f"the cuts name layer {cut.layer!r}, which this model cannot cut; "
                "expected the model that was pruned"
            )
        width = channel_count(layer, cut.direction)
        if cut.kept[-1] >= width:
            raise CheckpointRefusedError(
                f"the cuts keep channel {cut.kept[-1]} at the {cut.direction} of {cut.layer!r}, "
                f"which has {width}; expected the model that was pruned"
            )
        narrow_layer(layer, cut.direction, torch.tensor(cut.kept, dtype=torch.int64))


def merge_cuts(first: Sequence[Cut], then: Sequence[Cut]) -> tuple[Cut, ...]:
    """Combine the cuts of two steps into those that lead from the first model to the last.

    Args:
        first: what the first step kept of the dense model.
        then: what the second step kept of the first step's model.
    """
    merged = {(cut.layer, cut.direction): cut for cut in first}
    for cut in then:
        before = merged.get((cut.layer, cut.direction))
        kept = cut.kept if before is None else tuple(before.kept[index] for index in cut.kept)
        merged[cut.layer, cut.direction] = Cut(cut.layer, cut.direction, kept)
    return tuple(merged.values())


def render_cuts(cuts: Iterable[Cut]) -> str:
    """Return the cuts as JSON text for the metadata of a checkpoint."""
    return json.dumps(
        [{"layer": cut.layer, "direction": cut.direction, "kept": list(cut.kept)} for cut in cuts],
        separators=(",", ":"),
    )


def parse_cuts(text: str) -> tuple[Cut, ...]:
    """Read what `render_cuts` wrote.

    Raises:
        CheckpointRefusedError: the text is not that.
    """
    try:
        return tuple(_parse_cut(record) for record in json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointRefusedError(
            f"the cuts of a pruned model cannot be read: {type(error).__name__}: {error}; "
            "expected a JSON list of objects with layer, direction and kept"
        ) from error


def _parse_cut(record: dict[str, Any]) -> Cut:
    kept = tuple(int(position) for position in record["kept"])
    if not kept or kept[0] < 0 or list(kept) != sorted(set(kept)):
        raise ValueError(f"kept of {record['layer']!r} must be ascending positions, at least one")
    return Cut(str(record["layer"]), Direction(record["direction"]), kept)
