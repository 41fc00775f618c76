"""Choose the channels that go, and cut them out of a model with all coupled layers.

Called by `budget` for trial cuts and by `iteration` for real ones. How far to go is theirs; which
channels matter is `importance`'s.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Importance
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.pruning.cuts import Cut, replay_cuts
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.eval_mode import in_eval_mode
from trimtab_trainer.pruning.groups import ChannelGroup
from trimtab_trainer.pruning.importance import score_channels
from trimtab_trainer.pruning.layers import Direction, channel_count
from trimtab_trainer.pruning.schedule import plan_width

__all__ = ["PruneSettings", "cut_to", "find_cuttable_groups", "plan_cuts", "plan_widths"]


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """Which channels may go, and by which measure they are chosen."""

    importance: Importance
    ignore_layers: tuple[str, ...]
    """Globs of layers that keep all their outputs."""
    max_layer_ratio: float
    """Largest share of the channels that any one layer may lose, above 0 and below 1."""
    round_to: int
    """Widths are rounded to multiples of it, at least 1."""


def find_cuttable_groups(
    model: nn.Module, example: torch.Tensor, settings: PruneSettings
) -> tuple[ChannelGroup, ...]:
    """Find the groups that hold no output of the model and none of an ignored layer.

    Args:
        model: left as it is.
        example: an input batch, shape (N, ...).
        settings: whose `ignore_layers` are used.

    Raises:
        UserError: the model cannot be traced, a glob matches nothing, or no group is left.
    """
    ignored = match_layers(model, settings.ignore_layers, field="prune.ignoreLayers")
    groups = tuple(
        group
        for group in find_groups(model, example)
        if not any(
            member.layer in ignored and member.direction is Direction.OUTPUT
            for member in group.members
        )
    )
    if not groups:
        raise UserError(
            f"the model has no layer that can be cut outside of its output layer and "
            f"prune.ignoreLayers {list(settings.ignore_layers)}"
        )
    return groups


def plan_widths(
    groups: Sequence[ChannelGroup], ratio: float, settings: PruneSettings
) -> dict[str, int]:
    """Return the width that each group, by its root, has after losing this share of channels.

    Args:
        groups: those of the dense model.
        ratio: share to remove in total, 0…1.
        settings: how widths are rounded and how far they may fall.
    """
    return {
        group.root: plan_width(
            group.width,
            ratio,
            max_layer_ratio=settings.max_layer_ratio,
            round_to=settings.round_to,
        )
        for group in groups
    }


def plan_cuts(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    widths: Mapping[str, int],
    importance: Importance,
) -> tuple[Cut, ...]:
    """Choose the channels that stay: of each group the most important ones.

    Args:
        model: in which the groups were found; left as it is.
        groups: found in the model as it is now.
        widths: the width that each group shall have, by its root.
        importance: the measure.
    """
    layers = dict(model.named_modules())
    removed: dict[tuple[str, Direction], set[int]] = defaultdict(set)
    for group in groups:
        gone = _choose_removed(model, group, widths[group.root], importance)
        for member in group.members:
            removed[member.layer, member.direction].update(
                position
                for position, channel in zip(member.positions, member.channels, strict=True)
                if channel in gone
            )
    return tuple(
        Cut(
            layer,
            direction,
            tuple(
                position
                for position in range(channel_count(layers[layer], direction))
                if position not in positions
            ),
        )
        for (layer, direction), positions in removed.items()
        if positions
    )


def cut_to(
    model: nn.Module,
    *,
    example: torch.Tensor,
    widths: Mapping[str, int],
    settings: PruneSettings,
) -> tuple[Cut, ...]:
    """Cut a model in place down to these widths.

    Args:
        model: dense or cut before; its parameters are replaced by narrower ones.
        example: an input batch, shape (N, ...).
        widths: from `plan_widths` on the dense model.
        settings: which layers stay, and the measure.

    Returns:
        What was kept, for `replay_cuts` on a copy of the model as it came in.

    Raises:
        UserError: as `find_cuttable_groups`, or the model does not run after the cut.
    """
    groups = find_cuttable_groups(model, example, settings)
    cuts = plan_cuts(model, groups, widths, settings.importance)
    replay_cuts(model, cuts)
    _check_forward(model, example)
    return cuts


def _choose_removed(
    model: nn.Module, group: ChannelGroup, width: int, importance: Importance
) -> frozenset[int]:
    if width >= group.width:
        return frozenset()
    scores = score_channels(model, group, importance)
    # Stable, so that equal scores are decided by position and a run can be repeated.
    ascending = torch.argsort(scores, stable=True)
    return frozenset(ascending[: group.width - width].tolist())


def _check_forward(model: nn.Module, example: torch.Tensor) -> None:
    try:
        with in_eval_mode(model), torch.no_grad():
            model(example)
    except Exception as error:
        raise UserError(
            f"the model does not run after pruning: {type(error).__name__}: {error}; "
            "name the layers whose widths its code relies on in prune.ignoreLayers"
        ) from error
