"""What a data set is to the rest of the trainer: splits that give batches by index.

Implemented by the loaders of this folder; used by training, evaluation, calibration and export.
Shapes: N samples of a batch, C channels, H height, W width.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

__all__ = ["AbstractSplit", "DataBundle", "ImageFormat"]


class AbstractSplit(ABC):
    """Samples that can be taken by index, as batches; safe to share between threads."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets of these samples, in this order.

        Args:
            indices: int64, shape (N,), each in 0…len-1.

        Returns:
            Inputs, for images float32 in 0…1 of shape (N, C, H, W), else as the data set gives
            them; and targets, for classification int64 of shape (N,).
        """


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """How a decoded image looks, and the normalization that goes into the graph."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DataBundle:
    """A loaded data set with its three splits."""

    train: AbstractSplit
    validation: AbstractSplit
    test: AbstractSplit | None
    image: ImageFormat | None
    """None for an entry point, whose tensors are taken as they are."""
    num_classes: int | None
    """None where targets are not class labels."""
    digest: str
    """SHA-256 over content and split, so that two runs can be told to have seen the same data."""
    skipped: tuple[str, ...] = ()
    """Names of unreadable samples that were left out, the same in every process."""
    warnings: tuple[str, ...] = ()
    """What the user should hear about this process's copy, one line each."""
