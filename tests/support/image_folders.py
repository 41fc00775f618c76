"""Folders of small images: one colour per class with a little noise, so that classes differ."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["encode_image", "make_image", "write_classes"]


def make_image(
    *, label: int = 0, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "RGB"
) -> Image.Image:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    pixels[..., label % 3] += 120
    return Image.fromarray(pixels).convert(mode)


def encode_image(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def write_classes(
    root: Path, classes: dict[str, int], *, mode: str = "RGB", first_seed: int = 0
) -> Path:
    seed = first_seed
    for label, (name, samples) in enumerate(classes.items()):
        for number in range(samples):
            path = root / name / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_image(make_image(label=label, seed=seed, mode=mode)))
            seed += 1
    return root
