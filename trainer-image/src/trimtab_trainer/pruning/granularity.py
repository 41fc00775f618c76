"""Granularity: the one place that knows which kind of parts is removed by which module.

Called by `budget` and `iteration`, which see only the interface in `prunable`.
"""

from typing import assert_never

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.prunable import AbstractPrunable
from trimtab_trainer.pruning.structures import find_structures
from trimtab_trainer.pruning.weights import find_weights

__all__ = ["find_prunable"]


def find_prunable(
    model: nn.Module, example: torch.Tensor, settings: PruneSettings
) -> AbstractPrunable:
    """Find what of a dense model may be removed.

    Args:
        model: left as it is.
        example: an input batch, shape (N, ...).
        settings: the granularity, and what is left out.

    Raises:
        UserError: the model cannot be read, a pattern matches nothing, or nothing may go.
    """
    match settings.granularity:
        case Granularity.WEIGHTS:
            return find_weights(model, example, settings)
        case Granularity.NEURONS | Granularity.FILTERS | Granularity.STRUCTURES:
            return find_structures(model, example, settings)
        case _:
            assert_never(settings.granularity)
