"""Checkpoints: weights as safetensors, and a manifest with their hash that is written last.

Called by the stages. A folder without a manifest holds no checkpoint, and a file that is not the
one that was written is refused before anything of it is used.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.storage.filesystem import atomic_write, read_json, write_json
from trimtab_trainer.training.tensor_file import parse_tensors, render_tensors

__all__ = ["CheckpointInfo", "load_checkpoint", "read_digest", "save_checkpoint"]

_WEIGHTS = "model.safetensors"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint that lies in storage."""

    path: Path
    """The safetensors file."""
    sha256: str


def save_checkpoint(
    folder: Path, model: nn.Module, *, metadata: Mapping[str, str]
) -> CheckpointInfo:
    """Save weights and buffers, normalization among them; equal weights give equal files.

    Args:
        folder: Made if it is missing; a checkpoint in it is replaced.
        model: On any device.
        metadata: What the weights belong to; it goes into the hashed file.

    Raises:
        OSError: The file system refuses; an older checkpoint in the folder is still whole when
            the new weights could not be written.
    """
    content = render_tensors(model.state_dict(), dict(metadata))
    path = folder / _WEIGHTS
    sha256 = hashlib.sha256(content).hexdigest()
    atomic_write(path, content)
    write_json(folder / _MANIFEST, {"file": _WEIGHTS, "sha256": sha256})
    return CheckpointInfo(path=path, sha256=sha256)


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the weights and the metadata of a checkpoint.

    Raises:
        CheckpointRefusedError: Manifest or weights are missing, the weights are not the file that
            the manifest names, or no safetensors file. Nothing of it was loaded.
    """
    return parse_tensors(_read_verified(folder), source=folder / _WEIGHTS)


def read_digest(folder: Path) -> str:
    """Return the SHA-256 that a checkpoint's manifest names, without reading the weights.

    Raises:
        CheckpointRefusedError: There is no manifest with a hash.
    """
    path = folder / _MANIFEST
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointRefusedError(f"{path} must be a JSON file but: {error}") from error
    digest = manifest.get("sha256") if isinstance(manifest, dict) else None
    if not isinstance(digest, str):
        raise CheckpointRefusedError(f"{path} must hold the hash of a checkpoint but does not")
    return digest


def _read_verified(folder: Path) -> bytes:
    path = folder / _WEIGHTS
    expected = read_digest(folder)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointRefusedError(f"{path} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CheckpointRefusedError(f"{path} must have sha256 {expected} but has {found}")
    return content
