"""Images of the known formats become upright squares of bytes; everything else is refused unread."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from canary import Canary
from image_folders import encode_image, make_image
from trimtab_trainer.data.image_files import decode_image
from trimtab_trainer.errors import DatasetInvalidError


def decode(content: bytes, size: int = 8) -> torch.Tensor:
    return decode_image(io.BytesIO(content), size=size)


def claim_png(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose head claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    start = struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + start + end


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"])
def test_every_format_is_decoded(kind: str) -> None:
    pixels = decode(encode_image(make_image(label=1), kind))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 8, 8)
    red, green, blue = pixels.float().mean(dim=(1, 2)).tolist()
    assert green > red + 80
    assert green > blue + 80


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_images_have_one_channel(mode: str) -> None:
    assert decode(encode_image(make_image(mode=mode))).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("mode", "kind"), [("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("YCbCr", "TIFF")]
)
def test_colours_come_as_rgb(mode: str, kind: str) -> None:
    pixels = decode(encode_image(make_image(label=2, mode=mode), kind))
    assert pixels.shape == (3, 8, 8)
    assert float(pixels[2].float().mean()) > float(pixels[0].float().mean()) + 60


def test_a_transparent_palette_is_no_trouble() -> None:
    image = make_image().convert("P")
    assert decode(encode_image(image, transparency=bytes([0, 128, 255]))).shape == (3, 8, 8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_and_not_cut_off(kind: str) -> None:
    wide = np.full((4, 4), 257 * 128, dtype=np.uint16)
    pixels = decode(encode_image(Image.fromarray(wide), kind))
    assert torch.equal(pixels, torch.full((1, 8, 8), 128, dtype=torch.uint8))


def test_an_image_is_turned_upright() -> None:
    image = make_image(size=(8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    turned = decode(encode_image(image, exif=exif))
    upright = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(turned, upright.rot90(-1, (1, 2)))


def test_resizing_is_bilinear_and_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    pixels = decode(encode_image(Image.fromarray(stripes)), size=8).int()
    assert int((pixels - 127).abs().max()) <= 5  # without antialiasing it is all black or white


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "must be one of PNG, JPEG"),
        (b"#!/bin/sh\ntouch canary\n", "must be one of PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "must be one of PNG, JPEG"),
        (encode_image(make_image(), "PNG")[:-40], "truncated"),
        (encode_image(make_image(size=(64, 64)), "JPEG")[:-200], "truncated"),
        (encode_image(Image.new("F", (4, 4)), "TIFF"), "mode of .* but has F"),
        (encode_image(Image.new("I", (4, 4)), "TIFF"), "mode of .* but has I"),
    ],
    ids=["empty", "script", "postscript", "cut png", "cut jpeg", "floats", "32 bits"],
)
def test_f63_what_cannot_be_used_is_refused(content: bytes, cause: str) -> None:
    with pytest.raises(DatasetInvalidError, match=cause):
        decode(content)


@pytest.mark.parametrize("side", [8193, 12000, 60000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_f63_a_decompression_bomb_is_never_unpacked(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: object, **__: object) -> Any:
        raise AssertionError("unpacked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", unpack)
    with pytest.raises(DatasetInvalidError, match=r"(?i)decompression.?bomb"):
        decode(claim_png(side, side))


def test_f60_a_pickle_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    with pytest.raises(DatasetInvalidError, match="must be one of PNG, JPEG"):
        decode(canary.content)
    canary.check()


@settings(max_examples=150)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"]))
@pytest.mark.filterwarnings("ignore")
def test_f63_damage_is_refused_or_harmless(data: st.DataObject, kind: str) -> None:
    content = bytearray(encode_image(make_image(), kind))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content)).shape[1:] == (8, 8)
    except DatasetInvalidError as error:
        assert str(error)
