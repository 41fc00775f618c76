"""Small image data that a network can learn: each class has a bright row of its own."""

from pathlib import Path

import torch

from trimtab_api.v1alpha1.model import Split
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.images import LabelledImages, bundle_images

__all__ = ["make_bundle", "make_images", "write_idx"]


def make_images(samples: int, *, classes: int = 4, size: int = 8, seed: int = 0) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 96, (samples, 1, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(samples) % classes
    for row, label in enumerate(labels.tolist()):
        images[row, 0, label * size // classes] += 120
    return LabelledImages(images=images, labels=labels)


def make_bundle(
    samples: int = 120, *, classes: int = 4, size: int = 8, seed: int = 0
) -> DataBundle:
    return bundle_images(
        make_images(samples, classes=classes, size=size),
        None,
        scale=255,
        split=Split(validation=0.2, test=0.2),
        normalize=None,
        seed=seed,
    )


def write_idx(path: Path, values: torch.Tensor) -> Path:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + values.to(torch.uint8).numpy().tobytes())
    return path
