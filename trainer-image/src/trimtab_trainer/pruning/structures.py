"""Structures: units and filters that are cut out physically, behind the interface of pruning.

Made by `granularity`. Which units belong together is `dependency`'s, the cut itself `cutter`'s.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self, assert_never

import torch
from torch import nn
from typing_extensions import override

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.pruning.amounts import AmountKind, Counters
from trimtab_trainer.pruning.cuts import merge_cuts, replay_cuts
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    find_cuttable_groups,
    plan_cuts,
    shrink_groups,
)
from trimtab_trainer.pruning.groups import ChannelGroup
from trimtab_trainer.pruning.importance import GRADIENT_MEASURES, score_units
from trimtab_trainer.pruning.prunable import AbstractPrunable, PrunableLayer, find_fixed_shares
from trimtab_trainer.pruning.saliency import Losses, measure_unit_saliency

__all__ = ["StructuredModel", "find_structures"]


@dataclass(frozen=True, slots=True)
class StructuredModel(AbstractPrunable):
    """A model whose coupled units can be cut out."""

    groups: tuple[ChannelGroup, ...]
    """The units as they are now; one group for each layer."""
    settings: PruneSettings
    """Which measure scores them."""

    @property
    @override
    def widths(self) -> dict[str, int]:
        return {group.root: group.width for group in self.groups}

    @override
    def score(self, losses: Losses) -> dict[str, torch.Tensor]:
        importance, seed = self.settings.importance, self.settings.seed
        saliency = (
            measure_unit_saliency(self.model, self.groups, losses)
            if importance in GRADIENT_MEASURES
            else None
        )
        return {
            group.root: score_units(self.model, group, importance, saliency=saliency, seed=seed)
            for group in self.groups
        }

    @override
    def shrink(self, widths: Mapping[str, int], scores: Mapping[str, torch.Tensor]) -> Self:
        cuts = plan_cuts(self.model, self.groups, widths, scores)
        model = copy.deepcopy(self.model)
        replay_cuts(model, cuts)
        return replace(
            self,
            model=model,
            cuts=merge_cuts(self.cuts, cuts),
            groups=shrink_groups(self.groups, cuts),
        )

    @override
    def hold(self) -> None:
        """Do nothing: what was cut out has no values."""

    @override
    def reduction(self, kind: AmountKind, widths: Mapping[str, int], counters: Counters) -> float:
        match kind:
            case AmountKind.RATIO:
                return 1 - sum(widths.values()) / sum(self.widths.values())
            case AmountKind.PARAMS_REDUCTION:
                count = counters.params
            case AmountKind.FLOPS_REDUCTION:
                count = counters.flops
            case _:
                assert_never(kind)
        even = {group.root: torch.zeros(group.width) for group in self.groups}
        return 1 - count(self.shrink(widths, even).model) / count(self.model)


def find_structures(
    model: nn.Module, example: torch.Tensor, settings: PruneSettings
) -> StructuredModel:
    """Find the units of a model that settings allow to cut out.

    Args:
        model: the dense model; left as it is.
        example: an input batch, shape (N, ...).
        settings: with granularity Neurons, Filters or Structures.

    Raises:
        UserError: the model cannot be traced, a pattern matches nothing, or nothing may be cut.
    """
    groups = find_cuttable_groups(model, example, settings)
    fixed = find_fixed_shares(
        model, settings.layer_ratios, {group.root: group.producers for group in groups}
    )
    layers = tuple(
        PrunableLayer(
            name=group.root,
            kind=Granularity(group.kind.value),
            width=group.width,
            fixed_share=fixed.get(group.root),
            max_share=settings.max_layer_ratio,
            multiple=group.step(settings.round_to),
        )
        for group in groups
    )
    return StructuredModel(model=model, layers=layers, cuts=(), groups=groups, settings=settings)
