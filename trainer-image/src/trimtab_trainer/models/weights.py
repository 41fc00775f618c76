"""Initial weights that the manifest names, from a safetensors file.

Called by the catalog. Nothing but safetensors is ever read: no file can run code.
"""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from trimtab_api.labels import ENV_PREFIX_MODEL
from trimtab_api.v1alpha1.model import Weights
from trimtab_trainer.errors import CheckpointRefusedError, UserError
from trimtab_trainer.storage.downloads import localize

__all__ = ["load_weights"]

_SHOWN = 3


def load_weights(
    network: nn.Module, weights: Weights, *, data_root: Path, downloads: Path | None = None
) -> None:
    """Load all weights of a network in place; names are the network's own.

    Args:
        network: The network.
        weights: What the manifest says.
        data_root: Folder that holds one folder per claim of `pvc://` URIs.
        downloads: Where an `s3://` URI's file goes; without it such a URI is refused.

    Raises:
        UserError: The file is missing, or its names or shapes are not the network's.
        CheckpointRefusedError: It is not what `sha256` says, or no safetensors file.
    """
    try:
        path = localize(
            weights.uri, data_root=data_root, downloads=downloads, prefix=ENV_PREFIX_MODEL
        )
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"model.weights.uri {weights.uri} must be a file but {error.filename}: {error.strerror}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if weights.sha256 is not None and found != weights.sha256:
        raise CheckpointRefusedError(
            f"{path} must have sha256 {weights.sha256} as model.weights says but has {found}"
        )
    try:
        state = load(content)
    except SafetensorError as error:
        raise CheckpointRefusedError(f"{path} must be a safetensors file but: {error}") from error
    _refuse_other_network(path, network.state_dict(), state)
    network.load_state_dict(state)


def _refuse_other_network(
    path: Path, expected: dict[str, torch.Tensor], state: dict[str, torch.Tensor]
) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    missing = sorted(shapes.keys() - state.keys())
    unknown = sorted(state.keys() - shapes.keys())
    if missing or unknown:
        raise UserError(
            f"{path} must hold the network's weights but lacks {len(missing)} {missing[:_SHOWN]}"
            f" and has {len(unknown)} others {unknown[:_SHOWN]}"
        )
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise UserError(
                f"{name} of {path} must have shape {shape} but has {tuple(state[name].shape)}"
            )
