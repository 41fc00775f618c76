"""From the manifest's `model` to a module that takes what the data set gives.

Called by the preflight and by every worker that trains or evaluates.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from trimtab_api.v1alpha1.model import Model
from trimtab_trainer.data._base import AbstractSplit, DataBundle, ImageFormat
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.builtin import build_network, choose_size, network_channels
from trimtab_trainer.models.entrypoint import build_from_entrypoint
from trimtab_trainer.models.image_input import ImageModel
from trimtab_trainer.models.weights import load_weights

__all__ = ["build_model"]


def build_model(
    model: Model,
    *,
    data: DataBundle,
    image_size: int | None,
    code_dir: Path | None,
    data_root: Path,
    downloads: Path | None = None,
) -> nn.Module:
    """Build the network, with the given weights or random ones, and what comes before it.

    Random weights are drawn from torch's global generator: seed it before.

    Args:
        model: What the manifest says.
        data: The loaded data set, whose format the network is built for.
        image_size: `dataset.imageSize`; None keeps the images' own size, or the smallest that a
            built-in network takes where that is larger.
        code_dir: Folder of the manifest, where entry points are imported from.
        data_root: Folder that holds one folder per claim of `pvc://` URIs.
        downloads: Where weights of `s3://` URIs go; without it they are refused.

    Returns:
        An `ImageModel` for image data; for a data set from an entry point, whose tensors are
        taken as they are, the network itself.

    Raises:
        UserError: The network cannot be built with these arguments or does not fit the data's
            format, or the weights are another network's.
        CheckpointRefusedError: The weights are not the file that the manifest says.
    """
    size = _choose_size(model, data, image_size)
    image = data.image or _format_of_tensors(data.train)
    if size is not None:
        image = replace(image, height=size, width=size)
    if model.builtin is not None:
        channels = network_channels(model.builtin, image)
        network = build_network(
            model.builtin,
            image=replace(image, channels=channels),
            num_classes=data.num_classes,
            args=model.args,
        )
    else:
        channels = image.channels
        reference = str(model.entrypoint)
        network = build_from_entrypoint(reference, args=model.args, code_dir=code_dir)
    if model.weights is not None:
        load_weights(network, model.weights, data_root=data_root, downloads=downloads)
    if data.image is None:
        return network
    return ImageModel(network, image=data.image, channels=channels, size=size)


def _choose_size(model: Model, data: DataBundle, wanted: int | None) -> int | None:
    if model.builtin is None:
        return wanted
    own = data.image or _format_of_tensors(data.train)
    size = choose_size(model.builtin, own=own, wanted=wanted)
    if data.image is None and size is not None:  # tensors are never resized
        raise UserError(
            f"inputs of the data set must have a size that {model.builtin} takes, such as"
            f" {size}×{size}, but have {own.height}×{own.width}"
        )
    return size


def _format_of_tensors(split: AbstractSplit) -> ImageFormat:
    """Describe inputs that are no images: features count as channels of one pixel."""
    inputs, _ = split.batch(torch.tensor([0]))
    channels, height, width, *_ = (*inputs.shape[1:], 1, 1, 1)
    return ImageFormat(channels=channels, height=height, width=width, mean=(0.0,), std=(1.0,))
