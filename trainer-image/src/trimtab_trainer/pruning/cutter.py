"""Choose the units that go, and say which positions of which tensors stay.

Called by `structures`, which also cuts. How far to go is `allocation`'s and `budget`'s; which units
matter is `importance`'s.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Allocation, Granularity, Importance
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.pruning.cuts import Cut
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.groups import ChannelGroup, GroupKind, Member
from trimtab_trainer.pruning.schedule import plan_width
from trimtab_trainer.pruning.trial import Trial, keep_runnable, make_trials

__all__ = ["PruneSettings", "find_cuttable_groups", "plan_cuts", "shrink_groups"]

_KINDS = {
    Granularity.NEURONS: frozenset({GroupKind.NEURONS}),
    Granularity.FILTERS: frozenset({GroupKind.FILTERS}),
    Granularity.STRUCTURES: frozenset(GroupKind),
}


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """What may be removed, and by which measure it is chosen."""

    importance: Importance
    allocation: Allocation
    granularity: Granularity
    ignore_layers: tuple[str, ...]
    """Globs of layers that keep all their outputs."""
    layer_ratios: Mapping[str, float]
    """Glob of layers → share of their outputs that goes, whatever the allocation says."""
    max_layer_ratio: float
    """Largest share that any one layer may lose, above 0 and below 1."""
    round_to: int
    """Numbers of channels that stay are multiples of it, at least 1."""
    seed: int
    """For importance Random."""


def find_cuttable_groups(
    model: nn.Module, example: torch.Tensor, settings: PruneSettings
) -> tuple[ChannelGroup, ...]:
    """Find the groups of the asked granularity that hold no outputs of an ignored layer.

    Only groups are returned with which the model was seen to run after a cut.

    Args:
        model: left as it is.
        example: an input batch, shape (N, ...) with N at least 2.
        settings: whose granularity, one of structures, and `ignore_layers` are used.

    Raises:
        UserError: the model cannot be traced, a glob matches nothing, or no group is left.
    """
    ignored = match_layers(model, settings.ignore_layers, field="prune.ignoreLayers")
    wanted = [
        group
        for group in find_groups(model, example)
        if group.kind in _KINDS[settings.granularity] and ignored.isdisjoint(group.producers)
    ]

    groups = tuple(wanted)
    for trial in make_trials(model, example):
        groups = keep_runnable(groups, partial(_runs_cut, trial, settings))
    if not groups:
        more = f"; its code does not run when any of {len(wanted)} more is narrower"
        raise UserError(
            f"the model has no layer that can be cut with prune.granularity "
            f"{settings.granularity}, outside of its output layer and prune.ignoreLayers "
            f"{list(settings.ignore_layers)}{more if wanted else ''}"
        )
    return groups


def plan_cuts(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    widths: Mapping[str, int],
    scores: Mapping[str, torch.Tensor],
) -> tuple[Cut, ...]:
    """Choose the units that stay: of each group those with the highest scores.

    Args:
        model: in which the groups are; left as it is.
        groups: as the model is now.
        widths: number of units that each group shall have, by its root.
        scores: score of each unit, shape (width,), by root. Of equal ones the first go.
    """
    removed: dict[tuple[str, int], set[int]] = defaultdict(set)
    for group in groups:
        count = group.width - widths[group.root]
        gone = set(torch.argsort(scores[group.root], stable=True)[: max(count, 0)].tolist())
        for member in group.members:
            removed[member.tensor, member.dimension].update(
                compress(member.positions, (unit in gone for unit in member.channels))
            )
    tensors = dict(chain(model.named_parameters(), model.named_buffers()))
    return tuple(
        Cut(
            tensor,
            dimension,
            tuple(
                position
                for position in range(tensors[tensor].shape[dimension])
                if position not in positions
            ),
        )
        for (tensor, dimension), positions in removed.items()
        if positions
    )


def shrink_groups(groups: Sequence[ChannelGroup], cuts: Sequence[Cut]) -> tuple[ChannelGroup, ...]:
    """Return the groups as they are in the model after cuts that were planned for them.

    Args:
        groups: of the model before the cuts.
        cuts: from `plan_cuts` with these groups.
    """
    moved = {
        (cut.tensor, cut.dimension): {old: new for new, old in enumerate(cut.kept)} for cut in cuts
    }
    return tuple(_shrink_group(group, moved) for group in groups)


def _shrink_group(
    group: ChannelGroup, moved: Mapping[tuple[str, int], Mapping[int, int]]
) -> ChannelGroup:
    root = group.members[0]
    places = moved.get((root.tensor, root.dimension))
    units = sorted(
        {
            unit
            for position, unit in zip(root.positions, root.channels, strict=True)
            if places is None or position in places
        }
    )
    renumbered = {old: new for new, old in enumerate(units)}
    members = tuple(
        _shrink_member(member, moved.get((member.tensor, member.dimension)), renumbered)
        for member in group.members
    )
    return replace(group, width=len(units), members=members)


def _shrink_member(
    member: Member, places: Mapping[int, int] | None, renumbered: Mapping[int, int]
) -> Member:
    left = [
        (position if places is None else places[position], renumbered[unit])
        for position, unit in zip(member.positions, member.channels, strict=True)
        if unit in renumbered
    ]
    return replace(
        member,
        positions=tuple(position for position, _ in left),
        channels=tuple(unit for _, unit in left),
    )


def _runs_cut(trial: Trial, settings: PruneSettings, groups: Sequence[ChannelGroup]) -> bool:
    scores = {group.root: torch.zeros(group.width) for group in groups}
    return all(
        trial.runs_after(plan_cuts(trial.model, groups, widths, scores))
        for widths in _plan_trials(groups, settings)
    )


def _plan_trials(
    groups: Sequence[ChannelGroup], settings: PruneSettings
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the widths after the smallest cut of every group, and after the largest."""
    least, most = {}, {}
    for group in groups:
        step = group.step(settings.round_to)
        least[group.root] = (group.width - 1) // step * step or group.width
        most[group.root] = plan_width(
            group.width, 1.0, max_layer_ratio=settings.max_layer_ratio, round_to=step
        )
    return least, most
