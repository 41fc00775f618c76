"""Which channels of a group matter: one score per channel, higher is more important.

Called by `cutter`; works on groups as data and never changes the model.
"""

from typing import assert_never

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Importance
from trimtab_trainer.pruning.groups import ChannelGroup, Member
from trimtab_trainer.pruning.layers import channel_dimensions

__all__ = ["score_channels"]


def score_channels(model: nn.Module, group: ChannelGroup, importance: Importance) -> torch.Tensor:
    """Score the channels of a group.

    L2 is the Euclidean norm over all weights that would be removed with the channel, in every
    coupled layer: outgoing and incoming weights and batch norm scales, without biases. This is
    the group norm of Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023.

    Args:
        model: the model in which the group was found.
        group: the channels.
        importance: the measure.

    Returns:
        float32 on the CPU, shape (group.width,).
    """
    match importance:
        case Importance.L2:
            return _sum_squares(model, group).sqrt()
        case _:
            assert_never(importance)


def _sum_squares(model: nn.Module, group: ChannelGroup) -> torch.Tensor:
    layers = dict(model.named_modules())
    total = torch.zeros(group.width)
    for member in group.members:
        squares = _squares_per_position(layers[member.layer], member)
        if squares is not None:
            positions = torch.tensor(member.positions)
            total.index_add_(0, torch.tensor(member.channels), squares[positions])
    return total


def _squares_per_position(layer: nn.Module, member: Member) -> torch.Tensor | None:
    dimension = channel_dimensions(layer, member.direction).get("weight")
    if dimension is None:
        return None  # A batch norm without a scale.
    weight = layer.get_parameter("weight").detach().float().cpu()
    return weight.square().movedim(dimension, 0).reshape(weight.shape[dimension], -1).sum(dim=1)
