"""One look at every image of a folder, before anything is trained on it.

Called by the loader of image folders. What is found is kept for the other processes of the node,
so that all of them skip the same samples and only the first pays for it.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from trimtab_trainer.data.folder_layout import FolderLayout
from trimtab_trainer.data.image_files import decode_image
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.errors import DatasetInvalidError
from trimtab_trainer.storage.hashes import fingerprint

__all__ = ["ImageFacts", "decode_each", "scan_images"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 1024
"""Images whose results are waited for together, so that a million need no million futures."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What one image is like; without a cause it can be used."""

    cause: str = ""
    """Why it cannot be used."""
    sha256: str = ""
    """Of the file."""
    sums: tuple[int, ...] = ()
    """Sum of the bytes per channel, resized: one channel for a gray image, else three."""
    squares: tuple[int, ...] = ()
    """Sum of their squares."""


def scan_images(
    layout: FolderLayout, *, size: int, cache: NodeCache | None
) -> tuple[ImageFacts, ...]:
    """Decode every image once and tell what it is like, in the order of the layout's files.

    Args:
        layout: The files.
        size: Height and width that images are resized to.
        cache: Where the facts are kept; they are found again while no file changes.
    """
    names = [file.name for file in layout.files]

    def scan() -> list[dict[str, Any]]:
        # Decoders warn of damage that they can live with, in words that no user can act upon.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [
                asdict(facts)
                for facts in decode_each(lambda name: _inspect(layout.root / name, size), names)
            ]

    found: list[dict[str, Any]]
    found = scan() if cache is None else cache.record(_key(layout, size), scan)
    return tuple(
        ImageFacts(
            cause=entry["cause"],
            sha256=entry["sha256"],
            sums=tuple(entry["sums"]),
            squares=tuple(entry["squares"]),
        )
        for entry in found
    )


def decode_each(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Call `work` for each item, in the threads that torch may use, and yield results in order."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, len(items), _CHUNK):
            yield from pool.map(work, items[start : start + _CHUNK])


def _key(layout: FolderLayout, size: int) -> str:
    files = []
    for file in layout.files:
        try:
            status = (layout.root / file.name).stat()
            files.append([file.name, status.st_size, status.st_mtime_ns])
        except OSError:  # a link to nowhere, which the scan will name
            files.append([file.name])
    return f"scan-{fingerprint({'root': str(layout.root.resolve()), 'size': size, 'files': files})}"


def _refuse_pipe(path: Path) -> None:
    if not path.is_file():  # to open a pipe would wait for ever
        raise DatasetInvalidError("it is no regular file")


def _inspect(path: Path, size: int) -> ImageFacts:
    try:
        _refuse_pipe(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            pixels = decode_image(file, size=size).flatten(1).to(torch.int64)
    except OSError as error:
        return ImageFacts(cause=str(error.strerror))
    except DatasetInvalidError as error:
        return ImageFacts(cause=str(error))
    return ImageFacts(
        sha256=sha256,
        sums=tuple(pixels.sum(dim=1).tolist()),
        squares=tuple((pixels**2).sum(dim=1).tolist()),
    )
