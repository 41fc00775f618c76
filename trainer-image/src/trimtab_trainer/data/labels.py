"""Class labels: how many classes there are, and whether every label names one of them.

Called by the loaders, once per split, before anything is trained on it.
"""

from collections.abc import Mapping
from typing import Any

import torch

from trimtab_trainer.errors import DatasetInvalidError

__all__ = ["check_labels", "count_classes", "read_num_classes", "refuse_one_class"]

_HINT = "where classes are missing on purpose, set model.args.num_classes"


def read_num_classes(args: Mapping[str, Any]) -> int | None:
    """Return how many classes a network is told to have, or None where it is told nothing.

    Args:
        args: `model.args`. What is wrong with the value is said by who builds the network.
    """
    value = args.get("num_classes")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def count_classes(labels: torch.Tensor, *, split: str, declared: int | None = None) -> int:
    """Return the number of classes, by the split that defines them.

    A number that the manifest declares is taken where it covers all labels; classes may then be
    missing. Without one, labels must be 0…K-1, each with at least one sample: a gap is the only
    sign by which a label out of range can be told in the data that define the range.

    Args:
        labels: int64, shape (N,).
        split: Its name, for the error.
        declared: `model.args.num_classes`.

    Raises:
        DatasetInvalidError: There are no samples, fewer than two classes, or a label below 0 or
            above a gap; the first such sample is named.
    """
    _refuse_empty(labels, split)
    refuse_one_class(labels, split=split)
    if declared is not None and int(labels.min()) >= 0 and int(labels.max()) < declared:
        return declared
    present = torch.unique(labels[labels >= 0])  # sorted
    gaps = torch.nonzero(present != torch.arange(len(present)))
    num_classes = int(gaps[0]) if len(gaps) else len(present)
    if num_classes == 0:
        raise DatasetInvalidError(
            f"split {split} must have labels that count from 0 but its lowest is"
            f" {int(labels.min())}; {_HINT}"
        )
    _refuse_out_of_range(labels, split, num_classes, hint=f"; {_HINT}" if len(gaps) else "")
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
    _refuse_out_of_range(labels, split, num_classes, hint="")


def _refuse_out_of_range(labels: torch.Tensor, split: str, num_classes: int, *, hint: str) -> None:
    wrong = torch.nonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        sample = int(wrong[0])
        raise DatasetInvalidError(
            f"sample {sample} of split {split} must have a label in 0…{num_classes - 1}"
            f" but has {int(labels[sample])}{hint}"
        )


def _refuse_empty(labels: torch.Tensor, split: str) -> None:
    if len(labels) == 0:
        raise DatasetInvalidError(f"split {split} must have samples but is empty")
