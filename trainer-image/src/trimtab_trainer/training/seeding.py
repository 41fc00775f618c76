"""One seed for every source of chance in this process.

Called before a model is built and trained, so that the same seed gives the same weights on the
same machine with the same number of threads.
"""

import random

import numpy as np
import torch

__all__ = ["seed_everything"]


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (the user's code may use any).

    Args:
        seed: 0…2³²-1.
    """
    random.seed(seed)
    # NumPy's own stubs leave this public function out.
    np.random.set_bit_generator(np.random.MT19937(seed))  # type: ignore[attr-defined]
    torch.manual_seed(seed)
