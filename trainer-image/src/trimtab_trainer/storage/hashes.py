"""Hashes that say whether two files, or two descriptions of a run, are the same.

Called by checkpoints and artifacts for files, and by the pipeline for the fingerprint of a study
and the input of a stage. Nothing here decides what a difference means.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["canonical_json", "fingerprint", "sha256_file"]


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON-able mapping, independent of the order of its keys.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: A value is not JSON-able.
    """
    return hashlib.sha256(canonical_json(description)).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII, no newline.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: A value is not JSON-able.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
