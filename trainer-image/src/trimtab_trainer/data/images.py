"""Labelled images of one size that fit into memory, kept as bytes and scaled when asked for.

Called by the loaders of uniform data (digits, IDX), which say what the bytes are, and by the
loader of folders for data that are kept decoded.
Shapes: N samples, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from typing_extensions import override

from trimtab_api.v1alpha1.model import Normalize, Split
from trimtab_trainer.data._base import AbstractSplit, DataBundle, ImageFormat
from trimtab_trainer.data.labels import check_labels, count_classes, refuse_one_class
from trimtab_trainer.data.splits import digest, split_indices
from trimtab_trainer.errors import DatasetInvalidError, UserError

__all__ = ["ImageSplit", "LabelledImages", "bundle_images", "describe_images"]

_BYTE_VALUES = 256
_RGB = 3


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images as read from their source."""

    images: torch.Tensor
    """uint8, shape (N, C, H, W)."""
    labels: torch.Tensor
    """int64, shape (N,)."""


@dataclass(frozen=True, slots=True)
class ImageSplit(AbstractSplit):
    """Some rows of labelled images; the bytes are shared between the splits."""

    source: LabelledImages
    rows: torch.Tensor
    """int64: which samples of the source, in order."""
    scale: int
    """The byte that stands for 1.0."""

    @override
    def __len__(self) -> int:
        return len(self.rows)

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.rows[indices]
        return self.source.images[rows].float().div_(self.scale), self.source.labels[rows]


def bundle_images(
    given: LabelledImages,
    test: LabelledImages | None,
    *,
    scale: int,
    split: Split,
    normalize: Normalize | None,
    seed: int,
    declared_classes: int | None = None,
) -> DataBundle:
    """Split, check and describe images.

    Args:
        given: What training and validation (and test, where it is missing) are taken from.
        test: The test split that the source brings, if any.
        scale: The byte that stands for 1.0.
        split: Shares for the splits that the source lacks.
        normalize: Normalization to use; computed over the training split where absent.
        seed: Seed of the split.
        declared_classes: `model.args.num_classes`; it allows classes without a sample.

    Raises:
        DatasetInvalidError: A split is empty, has one class only or a label out of range, the
            images of the splits differ in shape, or all training images are one colour.
        UserError: `normalize` has neither one entry per channel nor, for gray images, three.
    """
    num_classes = count_classes(given.labels, split="train", declared=declared_classes)
    share = 0.0 if test is not None else split.test
    parts = split_indices(len(given.labels), validation=split.validation, test=share, seed=seed)
    refuse_one_class(given.labels[parts.train], split="train")
    if test is not None:
        check_labels(test.labels, split="test", num_classes=num_classes)
        _check_same_shape(given, test)
        tested = ImageSplit(test, torch.arange(len(test.labels)), scale)
    else:
        tested = ImageSplit(given, parts.test, scale)
    return DataBundle(
        train=ImageSplit(given, parts.train, scale),
        validation=ImageSplit(given, parts.validation, scale),
        test=tested if len(tested) else None,
        image=describe_images(
            tuple(given.images.shape[1:]),
            normalize,
            measure=lambda: _measure(given.images[parts.train], scale),
        ),
        num_classes=num_classes,
        digest=digest(
            [
                *(given.images, given.labels, parts.train, parts.validation),
                *(tested.source.images, tested.source.labels, tested.rows),
            ]
        ),
    )


def describe_images(
    shape: tuple[int, ...],
    normalize: Normalize | None,
    *,
    measure: Callable[[], tuple[tuple[float, ...], tuple[float, ...]]],
) -> ImageFormat:
    """Return what decoded images look like, with the given normalization or a measured one.

    Args:
        shape: (C, H, W).
        normalize: `dataset.normalize`.
        measure: Gives mean and deviation per channel over the training split.

    Raises:
        UserError: `normalize` has neither one entry per channel nor, for gray images, three.
    """
    channels, height, width = shape
    if normalize is None:
        mean, std = measure()
    else:
        mean, std = normalize.mean, normalize.std
        # Gray images of a network for colour get three equal channels before normalization.
        if len(mean) not in ({1, _RGB} if channels == 1 else {channels}):
            raise UserError(
                f"dataset.normalize.mean must have one entry for each of the {channels} channels"
                f" but has {len(mean)}"
            )
    return ImageFormat(channels=channels, height=height, width=width, mean=mean, std=std)


def _check_same_shape(given: LabelledImages, test: LabelledImages) -> None:
    expected, got = tuple(given.images.shape[1:]), tuple(test.images.shape[1:])
    if expected != got:
        raise DatasetInvalidError(
            f"images of split test must have shape {expected} like those of train but have {got}"
        )


def _measure(images: torch.Tensor, scale: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel, exact because they are sums over a histogram of bytes."""
    values = torch.arange(_BYTE_VALUES, dtype=torch.float64) / scale
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=_BYTE_VALUES).double()
        mean = float((counts * values).sum() / counts.sum())
        if int(counts.count_nonzero()) == 1:
            raise DatasetInvalidError(
                f"images of split train must differ but all pixels of channel {channel} are"
                f" {mean:g}"
            )
        variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
        means.append(mean)
        deviations.append(variance**0.5)
    return tuple(means), tuple(deviations)
