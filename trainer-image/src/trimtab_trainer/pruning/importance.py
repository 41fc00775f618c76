"""Which parts matter: one score per unit of a group or per single weight, higher is more important.

Called by `structures` and `weights`; works on groups as data and never changes the model.
Gradients are taken by `saliency`.
"""

import zlib
from collections.abc import Callable
from typing import assert_never

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Importance
from trimtab_trainer.pruning.groups import ChannelGroup
from trimtab_trainer.pruning.saliency import Saliency

__all__ = ["GRADIENT_MEASURES", "score_units", "score_weights"]

GRADIENT_MEASURES = frozenset({Importance.TAYLOR, Importance.FISHER})
"""Measures that need a `Saliency`."""


def score_units(
    model: nn.Module,
    group: ChannelGroup,
    importance: Importance,
    *,
    saliency: Saliency | None,
    seed: int,
) -> torch.Tensor:
    """Score the units of a group.

    L1 and L2 are the norms over all weights that would be removed with the unit, in every coupled
    layer: outgoing and incoming weights and scales of norms, without biases. This is the group
    norm of Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023. Taylor and Fisher
    are the loss changes of `Saliency`. Random is drawn anew for each group.

    Args:
        model: the model in which the group was found.
        group: the units.
        importance: the measure.
        saliency: of this model; needed by Taylor and Fisher.
        seed: seed of Random.

    Returns:
        float32 on the CPU, shape (group.width,).
    """
    match importance:
        case Importance.L1:
            return _sum_over_members(model, group, torch.abs)
        case Importance.L2:
            return _sum_over_members(model, group, torch.square).sqrt()
        case Importance.TAYLOR | Importance.FISHER:
            return _read_saliency(saliency, importance, group.root)
        case Importance.RANDOM:
            return _draw(group.width, seed, group.root)
        case _:
            assert_never(importance)


def score_weights(
    weight: torch.Tensor,
    layer: str,
    importance: Importance,
    *,
    saliency: Saliency | None,
    seed: int,
) -> torch.Tensor:
    """Score single weights of a layer.

    L1 and L2 are the magnitude (Han et al., Learning both Weights and Connections for Efficient
    Neural Networks, NIPS 2015); the others are those of `score_units`.

    Args:
        weight: of any shape.
        layer: its name in the saliency.
        importance: the measure.
        saliency: of this model; needed by Taylor and Fisher.
        seed: seed of Random.

    Returns:
        float32 on the CPU, shape (weight.numel(),).
    """
    match importance:
        case Importance.L1 | Importance.L2:
            return weight.detach().float().cpu().abs().flatten()
        case Importance.TAYLOR | Importance.FISHER:
            return _read_saliency(saliency, importance, layer)
        case Importance.RANDOM:
            return _draw(weight.numel(), seed, layer)
        case _:
            assert_never(importance)


def _sum_over_members(
    model: nn.Module, group: ChannelGroup, size: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    parameters = dict(model.named_parameters())
    total = torch.zeros(group.width)
    for member in group.members:
        if member.tensor not in parameters or member.tensor.endswith("bias"):
            continue  # Running statistics and biases do not tell what a unit contributes.
        sizes = size(parameters[member.tensor].detach().float().cpu())
        per_position = (
            sizes.movedim(member.dimension, 0).reshape(sizes.shape[member.dimension], -1).sum(dim=1)
        )
        positions = torch.tensor(member.positions)
        total.index_add_(0, torch.tensor(member.channels), per_position[positions])
    return total


def _read_saliency(saliency: Saliency | None, importance: Importance, name: str) -> torch.Tensor:
    if saliency is None:
        raise ValueError(f"importance {importance} needs a saliency but got none")
    return (saliency.first if importance is Importance.TAYLOR else saliency.second)[name]


def _draw(count: int, seed: int, name: str) -> torch.Tensor:
    # Layers of the same width must not lose the same positions.
    generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
    return torch.rand(count, generator=generator)
