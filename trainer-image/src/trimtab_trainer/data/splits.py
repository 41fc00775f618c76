"""Seeded splits by index, and the digest that says which data a run has seen.

Called by the loaders. The same seed, total and shares give the same split on every machine.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from trimtab_trainer.errors import DatasetInvalidError

__all__ = ["SplitIndices", "digest", "split_indices"]


@dataclass(frozen=True, slots=True)
class SplitIndices:
    """Which samples belong where: int64, ascending, disjoint, together all of them."""

    train: torch.Tensor
    validation: torch.Tensor
    test: torch.Tensor


def split_indices(total: int, *, validation: float, test: float, seed: int) -> SplitIndices:
    """Draw validation and test samples at random; the rest is for training.

    Args:
        total: Number of samples.
        validation: Share in 0…1; 0 where the data bring a validation split of their own.
        test: Share in 0…1; 0 where they bring a test split or none is wanted.
        seed: Seed of the draw.

    Raises:
        DatasetInvalidError: A split that was asked for, or training, would be empty.
    """
    sizes = {"validation": round(total * validation), "test": round(total * test)}
    sizes["train"] = total - sizes["validation"] - sizes["test"]
    shares = {"validation": validation, "test": test, "train": 1 - validation - test}
    for name, size in sizes.items():
        if size <= 0 < shares[name]:
            raise DatasetInvalidError(
                f"split {name} must have samples but {shares[name]:g} of {total} samples is none"
            )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    parts = torch.split(order, [sizes["validation"], sizes["test"], sizes["train"]])
    # Ascending, so that a pass in order reads memory in order.
    held_out, tested, rest = (part.sort().values for part in parts)
    return SplitIndices(train=rest, validation=held_out, test=tested)


def digest(parts: Iterable[torch.Tensor | str]) -> str:
    """Return the SHA-256 over tensors (type, shape and content) and texts, in this order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {len(part)} {part}".encode())
        else:
            total.update(f"{part.dtype} {tuple(part.shape)}".encode())
            total.update(part.contiguous().numpy().data)
    return total.hexdigest()
