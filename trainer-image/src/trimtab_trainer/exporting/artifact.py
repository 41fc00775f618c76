"""What a published model file is: its files, its hash and its sizes, plain and compressed.

Called by the exporters and by the stages for every file that becomes a candidate; how the file
came to be is left to them. An OpenVINO IR is two files, the graph and its weights, of one name.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import zstandard

__all__ = ["ExportedFile", "FileDtypes", "artifact_files", "describe_file", "digest_artifact"]

_BYTES_PER_MIB = 1024**2
_COMPANIONS = {".xml": ".bin"}
_CHUNK = 1024**2


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A model file as it lies on storage, its companions included in every figure."""

    path: Path
    sha256: str
    size_mib: float
    size_compressed_mib: float
    """Size after zstd at its default level (3)."""


@dataclass(frozen=True, slots=True)
class FileDtypes:
    """Types found in a model file, such as fp32, bf16, int8; each tuple is sorted."""

    weight_dtypes: tuple[str, ...]
    """Of the stored weights of layers."""
    activation_dtypes: tuple[str, ...]
    """In which layers with weights compute their inputs."""


def artifact_files(path: Path) -> tuple[Path, ...]:
    """Return the file and its companions, the file itself first.

    Args:
        path: A model file; it need not be there.
    """
    companion = _COMPANIONS.get(path.suffix)
    return (path,) if companion is None else (path, path.with_suffix(companion))


def digest_artifact(path: Path) -> str:
    """Return the SHA-256 of a model file, 64 hexadecimal digits.

    With companions it is that of all files one after another: `cat x.xml x.bin | sha256sum`.

    Raises:
        OSError: One of the files cannot be read.
    """
    digest = hashlib.sha256()
    for each in artifact_files(path):
        with each.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def describe_file(path: Path) -> ExportedFile:
    """Hash and size a model file with its companions.

    Args:
        path: A complete file; it is read twice and held in memory never.

    Returns:
        Its hash and its sizes in MiB.

    Raises:
        OSError: One of the files cannot be read.
    """
    files = artifact_files(path)
    return ExportedFile(
        path=path,
        sha256=digest_artifact(path),
        size_mib=sum(each.stat().st_size for each in files) / _BYTES_PER_MIB,
        size_compressed_mib=sum(map(_count_compressed_bytes, files)) / _BYTES_PER_MIB,
    )


def _count_compressed_bytes(path: Path) -> int:
    with path.open("rb") as source, Path(os.devnull).open("wb") as sink:
        _, written = zstandard.ZstdCompressor().copy_stream(source, sink)
    return written
