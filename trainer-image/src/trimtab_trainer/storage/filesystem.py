"""Files that are either there and whole, or not there.

Called by everything that leaves something behind: checkpoints, exported models, stage entries,
reports. A crash at any instruction leaves the old content or the new one, never a part.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_write", "read_json", "staged", "sync_folder", "write_json"]


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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, as fsync does for the content of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
