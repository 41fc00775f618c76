"""What a published model file is: its hash and its sizes, plain and compressed.

Called by the exporter and by the stages for every file that becomes a candidate; how the file
came to be is left to them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import zstandard

from trimtab_trainer.storage.hashes import sha256_file

__all__ = ["ExportedFile", "describe_file"]

_BYTES_PER_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A model file as it lies on storage."""

    path: Path
    sha256: str
    size_mib: float
    size_compressed_mib: float
    """Size after zstd at its default level (3)."""


def describe_file(path: Path) -> ExportedFile:
    """Hash and size a file.

    Args:
        path: A complete file; it is read twice and held in memory never.

    Returns:
        Its hash and its sizes in MiB.

    Raises:
        OSError: The file cannot be read.
    """
    return ExportedFile(
        path=path,
        sha256=sha256_file(path),
        size_mib=path.stat().st_size / _BYTES_PER_MIB,
        size_compressed_mib=_count_compressed_bytes(path) / _BYTES_PER_MIB,
    )


def _count_compressed_bytes(path: Path) -> int:
    with path.open("rb") as source, Path(os.devnull).open("wb") as sink:
        _, written = zstandard.ZstdCompressor().copy_stream(source, sink)
    return written
