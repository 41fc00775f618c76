"""A folder of images, one folder per class: scanned once, then decoded batch by batch.

Called by the catalog for `dataset.imageFolder`. With `cache: Node` the decoded bytes of all images
lie once per node and every process maps them; otherwise only names and labels are in memory.
Shapes: N samples of a batch, C channels, S height and width.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from typing_extensions import override

from trimtab_api.v1alpha1.model import Cache, Dataset
from trimtab_trainer.data._base import AbstractSplit, DataBundle
from trimtab_trainer.data.folder_layout import FolderLayout, ImageFile, read_layout
from trimtab_trainer.data.image_files import decode_image
from trimtab_trainer.data.image_scan import ImageFacts, decode_each, scan_images
from trimtab_trainer.data.images import ImageSplit, LabelledImages, describe_images
from trimtab_trainer.data.labels import refuse_one_class
from trimtab_trainer.data.node_cache import NodeCache, TensorShape
from trimtab_trainer.data.splits import digest, split_indices
from trimtab_trainer.errors import DatasetInvalidError, DatasetUnavailableError

__all__ = ["DEFAULT_IMAGE_SIZE", "FolderSplit", "ImageSource", "load_image_folder"]

DEFAULT_IMAGE_SIZE = 224
"""Height and width where `dataset.imageSize` says nothing."""

_WHITE = 255
_GRAY_CHANNELS = 1


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The readable images of a folder, all splits together."""

    root: Path
    names: tuple[str, ...]
    """Relative to the root."""
    labels: torch.Tensor
    """int64, one per name."""
    channels: int
    size: int

    def decode(self, index: int) -> torch.Tensor:
        """Return one image as uint8, shape (C, S, S).

        Raises:
            DatasetUnavailableError: The file can no longer be read.
            DatasetInvalidError: It is no longer the image that was scanned.
        """
        name = _show_name(self.names[index])
        try:
            with (self.root / self.names[index]).open("rb") as file:
                pixels = decode_image(file, size=self.size)
        except OSError as error:
            raise DatasetUnavailableError(
                f"sample {name} could be read before but not now: {error.strerror}"
            ) from error
        except DatasetInvalidError as error:
            raise DatasetInvalidError(
                f"sample {name} could be decoded before but not now: {error}"
            ) from error
        if len(pixels) > self.channels:
            raise DatasetInvalidError(f"sample {name} was gray before but has colours now")
        return pixels.expand(self.channels, -1, -1)


@dataclass(frozen=True, slots=True)
class FolderSplit(AbstractSplit):
    """Some images of a folder, decoded when they are asked for by the threads torch may use."""

    source: ImageSource
    rows: torch.Tensor
    """int64: which images of the source, in order."""

    @override
    def __len__(self) -> int:
        return len(self.rows)

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.rows[indices]
        pixels = torch.stack(list(decode_each(self.source.decode, rows.tolist())))
        return pixels.float().div_(_WHITE), self.source.labels[rows]


def load_image_folder(
    root: Path, dataset: Dataset, *, seed: int, cache: NodeCache | None
) -> DataBundle:
    """Scan, check and split a folder of images.

    Args:
        root: The folder; `read_layout` says what it may look like.
        dataset: Size, normalization, shares of the splits, allowed bad samples, and whether
            decoded images are kept.
        seed: Seed of the splits, which are the same for the same names and content.
        cache: Where the scan is kept for the node, and decoded images if the data set says so.

    Raises:
        DatasetUnavailableError: The folder or a part of it is missing or cannot be read.
        DatasetInvalidError: The layout is wrong, too many images are unreadable, or a class or a
            split has too few; it is named.
        UserError: `dataset.normalize` does not fit the channels.
    """
    layout = read_layout(root)
    size = dataset.image_size or DEFAULT_IMAGE_SIZE
    facts: Sequence[ImageFacts] = scan_images(layout, size=size, cache=cache)
    skipped = _skip(layout.files, facts, dataset.max_bad_samples)
    good = [row for row, fact in enumerate(facts) if not fact.cause]
    files, facts = [layout.files[row] for row in good], [facts[row] for row in good]
    _refuse_missing_classes(layout, files)
    rows = _split(files, dataset, seed)
    labels = torch.tensor([file.label for file in files])
    refuse_one_class(labels[rows["train"]], split="train")
    channels = max(len(fact.sums) for fact in facts)
    trained = [facts[row] for row in rows["train"].tolist()]
    image = describe_images(
        (channels, size, size),
        dataset.normalize,
        measure=lambda: _measure(trained, channels=channels, pixels=size * size),
    )
    names = tuple(file.name for file in files)
    source = ImageSource(root, names, labels, channels, size)
    content = json.dumps([size, list(zip(names, (fact.sha256 for fact in facts), strict=True))])
    kept = _keep(source, content, cache) if dataset.cache is Cache.NODE and cache else None
    splits = {
        name: FolderSplit(source, part) if kept is None else ImageSplit(kept, part, _WHITE)
        for name, part in rows.items()
    }
    return DataBundle(
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"] if len(splits["test"]) else None,
        image=image,
        num_classes=len(layout.classes),
        digest=digest([content, labels, *rows.values()]),
        skipped=skipped,
    )


def _show_name(name: str) -> str:
    """Return a file's name as text that can be written anywhere, whatever its bytes are."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _skip(files: Sequence[ImageFile], facts: Sequence[ImageFacts], allowed: int) -> tuple[str, ...]:
    bad = [(file, fact) for file, fact in zip(files, facts, strict=True) if fact.cause]
    if len(bad) > allowed:
        file, fact = bad[allowed]
        raise DatasetInvalidError(
            f"sample {_show_name(file.name)} must be a readable image but: {fact.cause};"
            f" {len(bad)} of {len(files)} samples are unreadable and dataset.maxBadSamples is"
            f" {allowed}"
        )
    return tuple(_show_name(file.name) for file, _ in bad)


def _refuse_missing_classes(layout: FolderLayout, files: Iterable[ImageFile]) -> None:
    left = {(file.split, file.label) for file in files}
    for file in layout.files:
        if (file.split, file.label) not in left:
            raise DatasetInvalidError(
                f"class {layout.classes[file.label]} of split {file.split} must have readable"
                " images but all are skipped"
            )


def _split(files: Sequence[ImageFile], dataset: Dataset, seed: int) -> dict[str, torch.Tensor]:
    """Return the rows of each split; what the folder lacks is drawn from train."""
    given = {
        name: torch.tensor(
            [row for row, file in enumerate(files) if file.split == name], dtype=torch.int64
        )
        for name in ("train", "validation", "test")
    }
    parts = split_indices(
        len(given["train"]),
        validation=0.0 if len(given["validation"]) else dataset.split.validation,
        test=0.0 if len(given["test"]) else dataset.split.test,
        seed=seed,
    )
    drawn = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return {
        name: given[name] if name != "train" and len(given[name]) else given["train"][part]
        for name, part in drawn.items()
    }


def _measure(
    facts: Sequence[ImageFacts], *, channels: int, pixels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel, exact because they are sums of whole numbers."""
    count = len(facts) * pixels
    means, deviations = [], []
    for channel in range(channels):
        total = sum(_of_channel(fact.sums, channel) for fact in facts)
        squares = sum(_of_channel(fact.squares, channel) for fact in facts)
        variance = (count * squares - total * total) / (count * _WHITE) ** 2
        mean = total / (count * _WHITE)
        if variance == 0:
            raise DatasetInvalidError(
                f"images of split train must differ but all pixels of channel {channel} are"
                f" {mean:g}"
            )
        means.append(mean)
        deviations.append(variance**0.5)
    return tuple(means), tuple(deviations)


def _of_channel(values: tuple[int, ...], channel: int) -> int:
    return values[0] if len(values) == _GRAY_CHANNELS else values[channel]


def _keep(source: ImageSource, content: str, cache: NodeCache) -> LabelledImages | None:
    """Return all images decoded, in memory that the node shares, or None where it has no room."""
    shape = (len(source.names), source.channels, source.size, source.size)

    def fill(targets: Mapping[str, torch.Tensor]) -> None:
        images = targets["images"]
        for row, pixels in enumerate(decode_each(source.decode, range(len(images)))):
            images[row] = pixels

    key = f"images-{digest([content, source.labels])}"
    kept = cache.filled(key, {"images": TensorShape("uint8", shape)}, fill)
    return None if kept is None else LabelledImages(kept["images"], source.labels)
