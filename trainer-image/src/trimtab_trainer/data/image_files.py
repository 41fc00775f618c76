"""From an image file to bytes of one size: what is decoded, and what is refused.

Called for every image of a folder, when it is scanned and when it is trained on. Only the formats
named here are tried, whatever a file's name says; none of them can run code.
"""

from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from trimtab_trainer.errors import DatasetInvalidError

__all__ = ["IMAGE_SUFFIXES", "decode_image"]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)
"""File names that count as images, in lower case."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
_GRAY = frozenset({"1", "L", "LA"})
_PALETTE = frozenset({"P", "PA"})
_COLOUR = frozenset({"RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_WIDE_TO_BYTE = 257  # 65535 / 255

# A file of a few kilobytes can claim any size. As RGBA this many pixels take 256 MiB.
_MOST_PIXELS = 2**26


def decode_image(file: BinaryIO, *, size: int) -> torch.Tensor:
    """Decode an image, turn it upright as its EXIF says, and resize it to a square.

    Of several frames the first is taken; transparency is dropped, as torchvision does.

    Args:
        file: The open file.
        size: Height and width of the result in pixels; resizing is bilinear and antialiased.

    Returns:
        uint8, shape (1, size, size) for gray images, else (3, size, size).

    Raises:
        DatasetInvalidError: It is no image of a known format, cut off, broken, too large or of
            a mode without a known range; the text is the cause alone.
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            _refuse_bomb(image)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            resized = _to_bytes(image).resize((size, size), Image.Resampling.BILINEAR)
    except (MemoryError, DatasetInvalidError):
        raise
    except UnidentifiedImageError as error:
        raise DatasetInvalidError(f"it must be one of {', '.join(_FORMATS)}") from error
    except Exception as error:  # whatever a decoder stumbles over is the file's fault
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise DatasetInvalidError(text) from error
    pixels = torch.from_numpy(np.array(resized))
    return pixels.unsqueeze(0) if resized.mode == "L" else pixels.permute(2, 0, 1)


def _refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise DatasetInvalidError(
            f"an image must have at most {_MOST_PIXELS} pixels (decompression bomb) but has"
            f" {width}×{height}"
        )


def _to_bytes(image: Image.Image) -> Image.Image:
    """Return the image in mode L or RGB."""
    mode = image.mode
    if mode in _GRAY:
        return image.convert("L")
    if mode in _PALETTE:  # by RGBA, since the short way warns about transparent palettes
        return image.convert("RGBA").convert("RGB")
    if mode in _COLOUR:
        return image.convert("RGB")
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        # Pillow's own conversion cuts 16-bit values off at 255.
        wide = np.asarray(image).astype(np.float32)
        return Image.fromarray(np.rint(wide / _WIDE_TO_BYTE).astype(np.uint8))
    known = ", ".join(sorted(_GRAY | _PALETTE | _COLOUR))
    raise DatasetInvalidError(f"an image must have a mode of {known} or I;16 but has {mode}")
