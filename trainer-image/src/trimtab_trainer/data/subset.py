"""Calibration samples: a seeded choice of a split, the same everywhere.

Called by stage quantize for the ranges of activations and by stage prune for gradients and trial
cuts; loading the samples is theirs.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from trimtab_trainer.errors import CalibrationInvalidError

__all__ = ["Subset", "choose_subset"]


@dataclass(frozen=True, slots=True)
class Subset:
    """Samples by index, and a hash that tells whether two runs used the same."""

    indices: Tensor
    """int64, shape (S,), ascending, without repeats."""
    digest: str
    """SHA-256 of the indices as little-endian int64."""


def choose_subset(total: int, samples: int, seed: int) -> Subset:
    """Draw samples without repetition; the same arguments give the same subset everywhere.

    Args:
        total: Number of samples that there are.
        samples: How many are wanted; all are taken where there are fewer.
        seed: Seed of the draw.

    Returns:
        The indices, ascending, and their digest.

    Raises:
        CalibrationInvalidError: There is no sample to choose from, or none is wanted.
    """
    if min(total, samples) < 1:
        raise CalibrationInvalidError(
            f"calibration needs at least one sample but {samples} of {total} are asked for"
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    indices = order[:samples].sort().values
    content = indices.numpy().astype("<i8").tobytes()
    return Subset(indices, hashlib.sha256(content).hexdigest())
