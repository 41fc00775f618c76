"""Class labels count from zero without gaps; the first sample that breaks this is named."""

import pytest
import torch

from trimtab_trainer.data.labels import check_labels, count_classes
from trimtab_trainer.errors import DatasetInvalidError


def test_classes_are_counted() -> None:
    assert count_classes(torch.tensor([2, 0, 1, 0]), split="train") == 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "split train must have samples but is empty"),
        ([1, 1, 1], "at least two classes but all 3 have label 1"),
        ([0, 1, 1, 200, 2], r"sample 3 of split train must have a label in 0…2 but has 200"),
        ([0, 1, -1, 1], r"sample 2 of split train must have a label in 0…1 but has -1"),
        ([1, 2, 3], "count from 0 but its lowest is 1"),
    ],
    ids=["empty", "one class", "too high", "negative", "from one"],
)
def test_f64_unusable_labels_are_named(labels: list[int], message: str) -> None:
    with pytest.raises(DatasetInvalidError, match=message):
        count_classes(torch.tensor(labels, dtype=torch.int64), split="train")


def test_f64_a_label_that_training_does_not_know_is_named() -> None:
    with pytest.raises(DatasetInvalidError, match=r"sample 1 of split test .* 0…2 but has 3"):
        check_labels(torch.tensor([0, 3]), split="test", num_classes=3)
