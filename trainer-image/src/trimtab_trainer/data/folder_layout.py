"""Which images a folder holds: its splits, its classes and the files of each.

Called by the loader of image folders. Only names are looked at; whether a file can be decoded is
found by the scan.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab_trainer.data.image_files import IMAGE_SUFFIXES
from trimtab_trainer.errors import DatasetInvalidError, DatasetUnavailableError

__all__ = ["FolderLayout", "ImageFile", "read_layout"]

_SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
_WHOLE = "train"
"""The split of all files where a folder holds classes rather than splits."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image by name."""

    name: str
    """Relative to the root, with `/`."""
    split: str
    """`train`, `validation` or `test`."""
    label: int


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """All images of a folder, in the order of their names, split by split."""

    root: Path
    classes: tuple[str, ...]
    """The names of the class folders, sorted; a label is a place in it."""
    files: tuple[ImageFile, ...]


def read_layout(root: Path) -> FolderLayout:
    """List a folder of class folders, or of `train`, `val` or `validation`, and `test`.

    Images lie at any depth below their class; other files and names that begin with a dot are
    ignored. Links to folders are followed.

    Raises:
        DatasetUnavailableError: A folder is missing or cannot be read.
        DatasetInvalidError: There is no class, a class without images, a folder beside the
            splits that is none, or a split with other classes than train; it is named.
    """
    try:
        splits = _find_splits(root)
        classes = _list_folders(splits["train"])
        files = [
            file for name, folder in splits.items() for file in _list(root, name, folder, classes)
        ]
    except OSError as error:
        raise DatasetUnavailableError(
            f"dataset.imageFolder: {error.filename} cannot be read: {error.strerror}"
        ) from error
    return FolderLayout(root, tuple(classes), tuple(files))


def _find_splits(root: Path) -> dict[str, Path]:
    names = _list_folders(root)
    known = [name for name in names if name in _SPLIT_NAMES]
    # A class may be called train; then its folder holds images rather than classes.
    if not known or (len(known) == 1 and not _list_folders(root / known[0])):
        return {_WHOLE: root}
    found: dict[str, Path] = {}
    for name in names:
        split = _SPLIT_NAMES.get(name)
        if split is None or split in found:
            raise DatasetInvalidError(
                f"dataset.imageFolder must hold train and at most one each of val or validation"
                f" and test, or class folders only, but holds {', '.join(names)}"
            )
        found[split] = root / name
    if "train" not in found:
        raise DatasetInvalidError(
            f"dataset.imageFolder must hold train beside {', '.join(names)} but holds none"
        )
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def _list_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def _list(root: Path, split: str, folder: Path, classes: list[str]) -> Iterator[ImageFile]:
    shown = folder.relative_to(root).as_posix()
    place = "dataset.imageFolder" if folder == root else f"{shown} of dataset.imageFolder"
    if not classes:
        raise DatasetInvalidError(f"{place} must hold one folder per class but holds none")
    given = _list_folders(folder)
    for name in sorted(set(given) ^ set(classes)):
        verb = "lacks" if name in classes else "also has"
        raise DatasetInvalidError(
            f"split {split} must have the classes of train but {verb} class {name}"
        )
    for label, name in enumerate(classes):
        images = sorted(path.relative_to(root).as_posix() for path in _find_images(folder / name))
        if not images:
            raise DatasetInvalidError(
                f"class {name} of split {split} must have images but its folder holds none"
            )
        for image in images:
            yield ImageFile(image, split, label)


def _find_images(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(place)
        if real in seen:  # a link back, which would be followed for ever
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(place, name)


def _raise(error: OSError) -> None:
    raise error
