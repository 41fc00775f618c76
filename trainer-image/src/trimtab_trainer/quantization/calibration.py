"""Which samples the ranges of activations are taken from.

Called by stage quantize, which loads these samples of the training split; how a range comes from
the values seen is in `ranges`.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from trimtab_trainer.errors import CalibrationInvalidError

__all__ = ["CalibrationSubset", "choose_calibration_subset"]


@dataclass(frozen=True, slots=True)
class CalibrationSubset:
    """Samples by index, and a hash that tells whether two runs used the same."""

    indices: Tensor
    """int64, shape (S,), ascending, without repeats."""
    digest: str
    """SHA-256 of the indices as little-endian int64."""


def choose_calibration_subset(total: int, samples: int, seed: int) -> CalibrationSubset:
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
            f"quantize.calibration needs at least one sample but {samples} of {total} are asked for"
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    indices = order[:samples].sort().values
    content = indices.numpy().astype("<i8").tobytes()
    return CalibrationSubset(indices, hashlib.sha256(content).hexdigest())
