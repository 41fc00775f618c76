"""Class labels: how many classes there are, and whether every label names one of them.

Called by the loaders, once per split, before anything is trained on it.
"""

import torch

from trimtab_trainer.errors import DatasetInvalidError

__all__ = ["check_labels", "count_classes", "refuse_one_class"]


def count_classes(labels: torch.Tensor, *, split: str) -> int:
    """Return the number of classes of the split that defines them.

    Labels must be 0…K-1, each with at least one sample: a gap is the only sign by which a label
    out of range can be told in the data that define the range.

    Args:
        labels: int64, shape (N,).
        split: Its name, for the error.

    Raises:
        DatasetInvalidError: There are no samples, fewer than two classes, or a label below 0 or
            above a gap; the first such sample is named.
    """
    _refuse_empty(labels, split)
    refuse_one_class(labels, split=split)
    present = torch.unique(labels[labels >= 0])  # sorted
    gaps = torch.nonzero(present != torch.arange(len(present)))
    num_classes = int(gaps[0]) if len(gaps) else len(present)
    if num_classes == 0:
        raise DatasetInvalidError(
            f"split {split} must have labels that count from 0 but its lowest is"
            f" {int(labels.min())}"
        )
    check_labels(labels, split=split, num_classes=num_classes)
    return num_classes


def refuse_one_class(labels: torch.Tensor, *, split: str) -> None:
    """Check that there is something to tell apart.

    Raises:
        DatasetInvalidError: All labels are equal.
    """
    if len(labels) and bool((labels == labels[0]).all()):
        raise DatasetInvalidError(
            f"split {split} must have samples of at least two classes but all"
            f" {len(labels)} have label {int(labels[0])}"
        )


def check_labels(labels: torch.Tensor, *, split: str, num_classes: int) -> None:
    """Check a split against the known classes.

    Args:
        labels: int64, shape (N,).
        split: Its name, for the error.
        num_classes: Labels must be below it.

    Raises:
        DatasetInvalidError: There are no samples, or a label is out of range; the first such
            sample is named.
    """
    _refuse_empty(labels, split)
    wrong = torch.nonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        sample = int(wrong[0])
        raise DatasetInvalidError(
            f"sample {sample} of split {split} must have a label in 0…{num_classes - 1}"
            f" but has {int(labels[sample])}"
        )


def _refuse_empty(labels: torch.Tensor, split: str) -> None:
    if len(labels) == 0:
        raise DatasetInvalidError(f"split {split} must have samples but is empty")
