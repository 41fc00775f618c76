"""Which samples a step sees: the order of an epoch, its batches, and the parts of a batch.

Called by the training loop. All members of a team compute the same order from the same seed, so
nothing about it is sent between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trimtab_trainer.training.seeding import epoch_seed

__all__ = ["Part", "batch_sizes", "shuffle", "split_batch"]

_FEWEST_SAMPLES = 2
"""Batch normalization refuses to train on a single value."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one member computes at once."""

    indices: torch.Tensor
    """Samples, int64."""
    share: float
    """Their share of the batch; 0 where a member computes only to keep up with the others."""


def batch_sizes(samples: int, batch_size: int) -> list[int]:
    """Return the sizes of full batches and of a last one of the rest.

    A rest of one sample joins the batch before it.
    """
    full, rest = divmod(samples, batch_size)
    sizes = [batch_size] * full
    if 0 < rest < _FEWEST_SAMPLES and sizes:
        sizes[-1] += rest
    elif rest:
        sizes.append(rest)
    return sizes


def shuffle(samples: int, batch_size: int, *, seed: int, epoch: int) -> Sequence[torch.Tensor]:
    """Return the batches of an epoch, each sample once, in an order of seed and epoch alone."""
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    order = torch.randperm(samples, generator=generator)
    return torch.split(order, batch_sizes(samples, batch_size))


def split_batch(batch: torch.Tensor, *, steps: int, rank: int, size: int) -> list[Part]:
    """Return the parts of a batch that a member computes, at most `steps`.

    All members get as many parts, because they wait for each other; the shares of all parts of
    all members sum to 1. No part has a single sample: a small batch is cut into fewer.

    Args:
        batch: Samples, int64.
        steps: Parts per member of a full batch.
        rank: Which member, 0…size-1.
        size: Members of the team.
    """
    if steps * size == 1:
        return [Part(batch, 1.0)]
    pieces = min(steps * size, max(1, len(batch) // _FEWEST_SAMPLES))
    cut = torch.tensor_split(batch, pieces)
    rounds = [cut[first : first + size] for first in range(0, pieces, size)]
    return [
        Part(members[rank], len(members[rank]) / len(batch))
        if rank < len(members)
        else Part(batch[:_FEWEST_SAMPLES], 0.0)
        for members in rounds
    ]
