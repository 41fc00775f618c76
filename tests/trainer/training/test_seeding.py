"""One seed sets every generator that training or user code may draw from."""

import random

import numpy as np
import torch

from trimtab_trainer.training.seeding import seed_everything


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.mtrand.rand()), float(torch.rand(()))


def test_all_generators_follow_the_seed() -> None:
    draws = []
    for seed in (3, 3, 4):
        seed_everything(seed)
        draws.append(draw())
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))
