"""A data set from the user's code: a callable that returns map-style data sets by split name.

Called by the catalog for `dataset.entrypoint`. Tensors are taken as they are and samples are read
when they are asked for, so random augmentation keeps its effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset, default_collate
from typing_extensions import override

from trimtab_api.v1alpha1.model import Dataset
from trimtab_trainer.data._base import AbstractSplit, DataBundle
from trimtab_trainer.data.labels import check_labels, count_classes, refuse_one_class
from trimtab_trainer.data.sample_sketch import sketch_samples
from trimtab_trainer.data.splits import digest, split_indices
from trimtab_trainer.data.user_code import blame_user_code, import_entrypoint
from trimtab_trainer.errors import DatasetInvalidError, UserError

__all__ = ["EntrypointSplit", "load_entrypoint"]

_SPLITS = ("train", "validation", "test")
_PAIR = 2


@dataclass(frozen=True, slots=True)
class EntrypointSplit(AbstractSplit):
    """Some samples of a user's map-style data set."""

    name: str
    """The name of the source, which numbers its samples; validation may be a part of `train`."""
    source: Any
    rows: torch.Tensor
    """int64: which samples of the source, in order."""
    code_dir: Path | None

    @override
    def __len__(self) -> int:
        return len(self.rows)

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.rows[indices]
        if isinstance(self.source, TensorDataset):  # one indexing instead of one per sample
            inputs, targets = self.source[rows]
        else:
            samples = [self.sample(int(row)) for row in rows]
            with blame_user_code(f"samples of split {self.name} to a batch", self.code_dir):
                inputs, targets = default_collate(samples)
        if not (isinstance(inputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
            raise DatasetInvalidError(
                f"samples of split {self.name} must be pairs of tensors or numbers but are pairs of"
                f" {type(inputs).__name__} and {type(targets).__name__}"
            )
        # Whole numbers are class labels, and losses take those as int64 only.
        return inputs, targets if targets.is_floating_point() else targets.long()

    def sample(self, row: int) -> tuple[Any, Any]:
        """Return input and target of one sample of the source.

        Raises:
            UserError: The user's code raised.
            DatasetInvalidError: The sample is not a pair.
        """
        with blame_user_code(f"sample {row} of split {self.name}", self.code_dir):
            sample = self.source[row]
        if not isinstance(sample, (tuple, list)) or len(sample) != _PAIR:
            raise DatasetInvalidError(
                f"sample {row} of split {self.name} must be a pair (input, target) but is"
                f" {type(sample).__name__}"
            )
        return sample[0], sample[1]


def load_entrypoint(
    dataset: Dataset, *, seed: int, code_dir: Path | None, num_classes: int | None = None
) -> DataBundle:
    """Call the entry point and split what it returns.

    Where targets are class labels, every sample is read once to check them. The digest covers
    name, arguments, splits, labels and a sketch of 16 samples of each split; inputs that are
    augmented at random, those that differ when they are read again, are left out of it.

    Args:
        dataset: The entry point, its arguments, and shares for the splits that it does not give.
        seed: Seed of the splits.
        code_dir: Folder of the manifest, where the entry point is imported from.
        num_classes: `model.args.num_classes`; it allows classes without a sample.

    Raises:
        UserError: The entry point is missing or raises, or does not return such a mapping.
        DatasetInvalidError: A split is empty, a sample is no pair, there is one class only, or a
            label is out of range; sample or split is named.
    """
    reference = str(dataset.entrypoint)
    given = _call(reference, dataset.args, code_dir)
    labels = {name: _read_labels(split) for name, split in given.items()}
    classes = _check(given, labels, num_classes)
    train = given["train"]
    parts = split_indices(
        len(train),
        validation=0.0 if "validation" in given else dataset.split.validation,
        test=0.0 if "test" in given else dataset.split.test,
        seed=seed,
    )
    train_labels = labels["train"]
    if train_labels is not None:
        refuse_one_class(train_labels[parts.train], split="train")
    splits = {
        "train": replace(train, rows=parts.train),
        "validation": replace(train, rows=parts.validation),
        "test": replace(train, rows=parts.test),
        **{name: split for name, split in given.items() if name != "train"},
    }
    known = [tensor for tensor in labels.values() if tensor is not None]
    description = f"{reference} {sorted(dataset.args.items())} {_sizes(given)}"
    sketches = [sketch_samples(split) for split in splits.values() if len(split)]
    return DataBundle(
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"] if len(splits["test"]) else None,
        image=None,
        num_classes=classes,
        digest=digest([description, parts.train, parts.validation, *known, *sketches]),
    )


def _call(
    reference: str, args: Mapping[str, Any], code_dir: Path | None
) -> dict[str, EntrypointSplit]:
    what = f"dataset.entrypoint {reference}"
    function = import_entrypoint(reference, code_dir)
    if not callable(function):
        raise UserError(f"{what} must be callable but is {type(function).__name__}")
    with blame_user_code(what, code_dir):
        sources = function(**args)
    if not isinstance(sources, Mapping) or not {"train"} <= set(sources) <= set(_SPLITS):
        got = sorted(map(str, sources)) if isinstance(sources, Mapping) else type(sources).__name__
        raise UserError(
            f"{what} must return a mapping with train and optionally validation and test but"
            f" returned {got}"
        )
    splits = {}
    for name in (name for name in _SPLITS if name in sources):
        with blame_user_code(f"len of split {name}", code_dir):
            rows = torch.arange(len(sources[name]))
        splits[name] = EntrypointSplit(name, sources[name], rows, code_dir)
    return splits


def _sizes(given: Mapping[str, EntrypointSplit]) -> dict[str, int]:
    return {name: len(split) for name, split in given.items()}


def _read_labels(split: EntrypointSplit) -> torch.Tensor | None:
    """Class labels of all samples, or None where targets are something else."""
    if len(split) == 0:
        raise DatasetInvalidError(f"split {split.name} must have samples but is empty")
    _, first = split.batch(torch.tensor([0]))
    if first.is_floating_point() or first.ndim != 1:
        return None
    if isinstance(split.source, TensorDataset):
        return split.batch(torch.arange(len(split)))[1]
    labels = [split.sample(row)[1] for row in range(len(split))]
    with blame_user_code(f"labels of split {split.name}", split.code_dir):
        return torch.tensor([int(label) for label in labels])


def _check(
    given: Mapping[str, EntrypointSplit],
    labels: Mapping[str, torch.Tensor | None],
    declared: int | None,
) -> int | None:
    train = labels["train"]
    if train is None:
        return None
    num_classes = count_classes(train, split="train", declared=declared)
    for name in given:
        tensor = labels[name]
        if tensor is None:
            raise DatasetInvalidError(f"split {name} must have class labels like train")
        check_labels(tensor, split=name, num_classes=num_classes)
    return num_classes
