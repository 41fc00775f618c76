"""Tensors and a few facts in one safetensors file, whose bytes depend on nothing else.

Called by checkpoints, which verify the bytes before they are parsed here. Nothing in such a file
can be executed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from trimtab_trainer.errors import CheckpointRefusedError

__all__ = ["parse_tensors", "render_tensors"]

_METADATA = "trimtab"
_LENGTH_BYTES = 8


def render_tensors(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> bytes:
    """Return the content of a file.

    Args:
        tensors: By name, on any device; they may share memory.
        facts: JSON-able.

    Raises:
        ValueError: A number among the facts is NaN or infinite.
    """
    # Copies, because safetensors refuses tensors that share memory.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # One key, because safetensors writes several in random order.
    text = json.dumps(dict(facts), sort_keys=True, allow_nan=False)
    content: bytes = save(copies, metadata={_METADATA: text})
    return content


def parse_tensors(
    content: bytes, *, source: Path
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return tensors and facts of a file's content.

    Args:
        content: Verified bytes.
        source: For the message.

    Raises:
        CheckpointRefusedError: The content is no safetensors file, or its facts are no mapping.
    """
    try:
        tensors: dict[str, torch.Tensor] = load(content)
        facts = json.loads(_read_head(content).get(_METADATA, "{}"))
    except (SafetensorError, ValueError) as error:
        raise CheckpointRefusedError(f"{source} must be a safetensors file but: {error}") from error
    if not isinstance(facts, dict):
        raise CheckpointRefusedError(f"{source} must hold facts as a mapping but does not")
    return tensors, facts


def _read_head(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file: its length in 8 bytes, then JSON."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    head = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
    metadata: dict[str, str] = head.get("__metadata__", {})
    return metadata
