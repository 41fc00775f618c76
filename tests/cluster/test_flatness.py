"""A leak of a little per cycle is told from noise, from a late start, and from growth that ends."""

import random
from collections.abc import Sequence

import pytest

from flatness import Allowance, list_growing, measure_drift

EVERY = 50
ALLOWED = {"blocks": Allowance(each=10, once=500)}
START = 730_000


def is_growing(values: Sequence[float]) -> bool:
    return bool(list_growing({"blocks": values}, ALLOWED, every=EVERY))


def make_noise(count: int) -> list[float]:
    source = random.Random(7)
    return [START + source.uniform(-300, 300) for _ in range(count)]


def test_noise_and_outliers_are_flat() -> None:
    values = make_noise(40)
    values[-1] += 100_000
    assert not is_growing(values)


def test_what_is_filled_in_the_beginning_is_flat() -> None:
    assert not is_growing([value + min(at, 9) * 2000 for at, value in enumerate(make_noise(40))])


@pytest.mark.parametrize("count", [10, 40])
def test_a_leak_of_some_blocks_a_cycle_is_found(count: int) -> None:
    leaking = [value + 25 * EVERY * at for at, value in enumerate(make_noise(count))]
    (words,) = list_growing({"blocks": leaking}, ALLOWED, every=EVERY)
    assert words.startswith("blocks grew from 7")


def test_the_quarters_are_as_far_apart_as_their_middles() -> None:
    assert measure_drift(list(range(40)), every=5) == (14.5, 34.5, 100)
    with pytest.raises(ValueError, match="at least 8 values"):
        measure_drift(list(range(7)), every=5)
