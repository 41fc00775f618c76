"""Every source of chance in this process: one seed for all, and what they hold at a moment.

Called before a model is built and trained, so that the same seed gives the same weights on the
same machine with the same number of threads; and by whoever stops a training and goes on later.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = [
    "Chance",
    "capture_chance",
    "epoch_seed",
    "restore_chance",
    "seed_everything",
    "seed_member",
]

_SEEDS = 2**32
"""torch's generator on a CPU looks at the low 32 bits of a seed only."""
_STRIDE = 2654435761
"""Knuth's odd multiplier."""


@dataclass(frozen=True, slots=True)
class Chance:
    """What the generators of Python, NumPy and torch hold."""

    tensors: Mapping[str, torch.Tensor]
    """By generator; that of the GPU only where a GPU was in use."""
    facts: Mapping[str, Any]
    """The rest, as JSON-able values."""


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (the user's code may use any).

    Args:
        seed: 0…2³²-1.
    """
    random.seed(seed)
    # NumPy's own stubs leave this public function out.
    np.random.set_bit_generator(np.random.MT19937(seed))  # type: ignore[attr-defined]
    torch.manual_seed(seed)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch, 0…2³²-1; epochs of neighbouring seeds share none.

    Args:
        seed: Of the training.
        epoch: Counted from 0.
    """
    return (seed + epoch * _STRIDE) % _SEEDS


def seed_member(seed: int, *, epoch: int, rank: int) -> None:
    """Seed torch for an epoch of a team's member, so that no two members drop the same units."""
    torch.manual_seed(epoch_seed(seed + 1 + rank, epoch))


def capture_chance(device: torch.device) -> Chance:
    """Return copies of what the generators hold; torch's of the CPU and of this device."""
    version, words, gauss = random.getstate()
    numpy = np.random.mtrand.get_state(legacy=False)
    tensors = {
        "python": torch.tensor(words),
        "numpy": torch.from_numpy(numpy["state"]["key"].astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    facts = {
        "python": [version, gauss],
        "numpy": [int(numpy["state"]["pos"]), int(numpy["has_gauss"]), float(numpy["gauss"])],
    }
    return Chance(tensors, facts)


def restore_chance(chance: Chance, device: torch.device) -> None:
    """Set the generators to what they held.

    Raises:
        KeyError: A generator is missing.
        ValueError: What one held is not what it can hold.
    """
    version, gauss = chance.facts["python"]
    random.setstate((version, tuple(chance.tensors["python"].tolist()), gauss))
    position, has_gauss, numpy_gauss = chance.facts["numpy"]
    np.random.mtrand.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": chance.tensors["numpy"].numpy().astype(np.uint32), "pos": position},
            "has_gauss": has_gauss,
            "gauss": numpy_gauss,
        }
    )
    torch.set_rng_state(chance.tensors["torch"])
    if device.type == "cuda" and "cuda" in chance.tensors:
        torch.cuda.set_rng_state(chance.tensors["cuda"], device)
