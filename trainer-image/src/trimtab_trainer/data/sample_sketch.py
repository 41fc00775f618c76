"""A few numbers per sample that tell two sets of user data apart.

Called by the entry point's loader for the digest. Labels alone say nothing of inputs that were
drawn without a seed; hashing every input would read the whole data set. What a difference means is
left to whoever compares digests.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from trimtab_trainer.data._base import AbstractSplit
from trimtab_trainer.data.splits import digest

__all__ = ["sketch_samples"]

_SAMPLES = 16
_RANDOM = "random"


def sketch_samples(split: AbstractSplit) -> str:
    """Return a text that changes with inputs or targets of 16 evenly spaced samples.

    First and last are among them. Each is read twice: inputs, or targets, of which one is not the
    same again are augmented at random and count as such, whatever they are. The global generators
    of Python, NumPy and torch start alike for every reading, so rare augmentation does not change
    the text; afterwards they hold what they held before.

    Floats go in as rounded sums: a mean over many numbers depends on the number of threads in its
    last bits, and would make data differ that are the same.

    Args:
        split: With samples.

    Raises:
        TrainerError: A sample cannot be read.
    """
    first, second = _read(split), _read(split)
    same = [once if once == again else _RANDOM for once, again in zip(first, second, strict=True)]
    return f"{len(split)} {same}"


def _read(split: AbstractSplit) -> tuple[str, str]:
    """Describe the inputs and the targets of the chosen samples."""
    rows = torch.linspace(0, len(split) - 1, min(_SAMPLES, len(split))).round().long()
    with _fixed_chance():
        samples = [split.batch(row.reshape(1)) for row in rows]
    inputs, targets = zip(*samples, strict=True)
    return " ".join(map(_sketch, inputs)), " ".join(map(_sketch, targets))


@contextmanager
def _fixed_chance() -> Iterator[None]:
    state, numpy = random.getstate(), np.random.mtrand.get_state(legacy=False)
    with torch.random.fork_rng(devices=[]):
        random.seed(0)
        np.random.mtrand.seed(0)
        torch.default_generator.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.mtrand.set_state(numpy)


def _sketch(tensor: torch.Tensor) -> str:
    """Sum up a tensor: floats by their size and a weighted sum, so that their order counts."""
    if not tensor.is_floating_point():
        return digest([tensor.cpu()])
    values = tensor.detach().cpu().double().flatten()
    size = values.square().mean().sqrt()
    weights = torch.arange(1, len(values) + 1, dtype=torch.float64).square().cos()
    # About 1 for values that have nothing to do with the weights, however many there are.
    weighted = (values * weights).sum() / (size * len(values) ** 0.5)
    rounded = round(float(weighted), 2) + 0.0  # never a negative zero
    return f"{tensor.dtype} {tuple(tensor.shape)} {size:.1e} {rounded:.2f}"
