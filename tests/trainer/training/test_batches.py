"""Samples are shared out whole: each once per epoch, and no part is empty or of one sample."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab_trainer.training.batches import batch_sizes, shuffle, split_batch


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [(8, 4, [4, 4]), (10, 4, [4, 4, 2]), (9, 4, [4, 5]), (3, 4, [3]), (1, 4, [1])],
)
def test_a_rest_of_one_sample_joins_the_batch_before(
    samples: int, size: int, expected: list[int]
) -> None:
    assert batch_sizes(samples, size) == expected


def test_the_order_follows_seed_and_epoch() -> None:
    orders = [
        torch.cat(list(shuffle(50, 8, seed=seed, epoch=epoch))).tolist()
        for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0)]
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_alone_and_at_once_a_batch_is_one_part() -> None:
    batch = torch.arange(5)
    (part,) = split_batch(batch, steps=1, rank=0, size=1)
    assert part.indices is batch
    assert part.share == 1.0


@given(
    samples=st.integers(1, 70),
    steps=st.integers(1, 6),
    size=st.integers(1, 5),
)
def test_parts_of_all_members_are_the_batch(samples: int, steps: int, size: int) -> None:
    batch = torch.arange(samples) + 100
    members = [split_batch(batch, steps=steps, rank=rank, size=size) for rank in range(size)]
    rounds = {len(parts) for parts in members}
    assert len(rounds) == 1
    assert rounds.pop() <= steps
    real = [part for parts in members for part in parts if part.share > 0]
    assert sorted(i for part in real for i in part.indices.tolist()) == batch.tolist()
    assert sum(part.share for part in real) == pytest.approx(1.0)
    assert all(len(p.indices) >= min(2, samples) for parts in members for p in parts)
    assert members[0][0].share > 0
    for part in real:
        assert part.share == pytest.approx(len(part.indices) / samples)


def test_a_full_batch_is_cut_evenly() -> None:
    parts = split_batch(torch.arange(12), steps=3, rank=1, size=2)
    assert [part.indices.tolist() for part in parts] == [[2, 3], [6, 7], [10, 11]]
