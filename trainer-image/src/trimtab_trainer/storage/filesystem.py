"""Files that are either there and whole, or not there.

Called by everything that leaves something behind: checkpoints, exported models, stage entries,
reports. A crash at any instruction leaves the old content or the new one, never a part. Where a
mirror covers a file, it is stored there first.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trimtab_trainer.storage.mirror import find_mirror

__all__ = [
    "atomic_write",
    "discard",
    "list_folders",
    "read_json",
    "remove",
    "staged",
    "sync_folder",
    "write_json",
]


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there is published at the end.

    The suffix is kept, for writers that look at it. Missing folders are made. The file is synced
    to disk before it takes its name; when the block raises, nothing is published or left.

    Raises:
        FileNotFoundError: The block wrote nothing.
        OSError: The file system refuses; what `path` held before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        find_mirror(path).publish(temporary, path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Replace the content of a file, or make it; text is written as UTF-8 with its newlines.

    Raises:
        OSError: The file system refuses; what `path` held before is untouched.
    """
    with staged(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file for people: indented, keys in the order given.

    Raises:
        ValueError: A number is NaN or infinite.
        OSError: The file system refuses; what `path` held before is untouched.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")


def read_json(path: Path) -> Any | None:
    """Return what a JSON file holds, or None when there is no such file.

    Raises:
        json.JSONDecodeError: The file is not JSON.
        OSError: The file is there and cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return json.loads(content)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing there is no error.

    Raises:
        OSError: The file system refuses.
    """
    find_mirror(path).remove(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove what nobody needs any more; what cannot be removed now stays."""
    with suppress(OSError):
        remove(path)


def list_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, those that only storage has included; none without it.

    Raises:
        OSError: The file system refuses.
    """
    here = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return [folder / name for name in sorted(here | find_mirror(folder).list_folders(folder))]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, as fsync does for the content of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
