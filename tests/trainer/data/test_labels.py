"""Class labels count from zero, and a gap needs a word of the user; a wrong sample is named."""

import pytest
import torch

from trimtab_trainer.data.labels import check_labels, count_classes, read_num_classes
from trimtab_trainer.errors import DatasetInvalidError


def test_classes_are_counted() -> None:
    assert count_classes(torch.tensor([2, 0, 1, 0]), split="train") == 3


@pytest.mark.parametrize("labels", [[0, 1, 3, 5], [2, 3], [0, 1], [5, 0]])
def test_classes_may_be_missing_where_their_number_is_declared(labels: list[int]) -> None:
    assert count_classes(torch.tensor(labels), split="train", declared=6) == 6


@pytest.mark.parametrize(
    ("labels", "declared", "message"),
    [
        ([0, 1, 3, 6], 6, "sample 2 of split train must have a label in 0…1 but has 3"),
        ([0, 1, -1], 6, "sample 2 of split train must have a label in 0…1 but has -1"),
        ([3, 3], 6, "all 2 have label 3"),
    ],
)
def test_f64_a_declared_number_does_not_cover_everything(
    labels: list[int], declared: int, message: str
) -> None:
    with pytest.raises(DatasetInvalidError, match=message):
        count_classes(torch.tensor(labels), split="train", declared=declared)


def test_too_small_a_declared_number_leaves_the_count_to_the_data() -> None:
    # The network that is told so says what is wrong with it.
    assert count_classes(torch.tensor([0, 1, 2]), split="train", declared=2) == 3


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, None),
        ({"num_classes": 7}, 7),
        ({"num_classes": True}, None),
        ({"num_classes": "7"}, None),
    ],
)
def test_the_declared_number_is_an_integer(args: dict[str, object], expected: int | None) -> None:
    assert read_num_classes(args) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "split train must have samples but is empty"),
        ([1, 1, 1], "at least two classes but all 3 have label 1"),
        ([0, 1, 1, 200, 2], r"sample 3 of split train must have a label in 0…2 but has 200"),
        ([0, 1, -1, 1], r"sample 2 of split train must have a label in 0…1 but has -1"),
        ([1, 2, 3], "count from 0 but its lowest is 1; .* set model.args.num_classes"),
        ([0, 1, 3], "but has 3; where classes are missing on purpose, set model.args.num_classes"),
    ],
    ids=["empty", "one class", "too high", "negative", "from one", "gap"],
)
def test_f64_unusable_labels_are_named(labels: list[int], message: str) -> None:
    with pytest.raises(DatasetInvalidError, match=message):
        count_classes(torch.tensor(labels, dtype=torch.int64), split="train")


def test_f64_a_label_that_training_does_not_know_is_named() -> None:
    with pytest.raises(DatasetInvalidError, match=r"sample 1 of split test .* 0…2 but has 3"):
        check_labels(torch.tensor([0, 3]), split="test", num_classes=3)
