"""One seed sets every generator that training or user code may draw from, and they can be put back."""

import json
import random

import numpy as np
import pytest
import torch

from trimtab_trainer.training.seeding import (
    Chance,
    capture_chance,
    epoch_seed,
    restore_chance,
    seed_everything,
    seed_member,
)

CPU = torch.device("cpu")


def draw() -> tuple[float, ...]:
    # Normal numbers come in pairs, so that the generators keep one back.
    return (
        random.random(),
        random.gauss(0, 1),
        float(np.random.mtrand.rand()),
        float(np.random.mtrand.randn()),
        float(torch.rand(())),
        float(torch.randn(())),
    )


def test_all_generators_follow_the_seed() -> None:
    draws = []
    for seed in (3, 3, 4):
        seed_everything(seed)
        draws.append(draw())
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))


@pytest.mark.parametrize("earlier", [0, 1])
def test_all_generators_go_on_where_they_were(earlier: int) -> None:
    seed_everything(5)
    for _ in range(earlier):
        draw()
    chance = capture_chance(CPU)
    expected = [draw() for _ in range(3)]
    seed_everything(6)
    restore_chance(Chance(chance.tensors, json.loads(json.dumps(chance.facts))), CPU)
    assert [draw() for _ in range(3)] == expected


def test_a_missing_generator_is_an_error() -> None:
    chance = capture_chance(CPU)
    with pytest.raises(KeyError):
        restore_chance(Chance({}, chance.facts), CPU)


def test_epochs_of_neighbouring_seeds_share_no_order() -> None:
    seeds = [epoch_seed(seed, epoch) for seed in range(40) for epoch in range(40)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_members_of_a_team_drop_different_units_and_repeat_themselves() -> None:
    drawn = []
    for epoch, rank in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        seed_member(9, epoch=epoch, rank=rank)
        drawn.append(float(torch.rand(())))
    assert len(set(drawn)) == 3
    assert drawn[0] == drawn[3]
