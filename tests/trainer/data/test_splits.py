"""Splits are seeded, disjoint and complete, and the digest tells data apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab_trainer.data.splits import digest, split_indices
from trimtab_trainer.errors import DatasetInvalidError


@given(
    total=st.integers(20, 500),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_and_together_all_samples(
    total: int, validation: float, test: float, seed: int
) -> None:
    parts = split_indices(total, validation=validation, test=test, seed=seed)
    together = torch.cat([parts.train, parts.validation, parts.test]).sort().values
    assert together.tolist() == list(range(total))
    assert len(parts.validation) == round(total * validation)
    assert len(parts.test) == round(total * test)


def test_the_seed_decides_the_split() -> None:
    first, again, other = (
        split_indices(100, validation=0.2, test=0.2, seed=seed) for seed in (5, 5, 6)
    )
    assert torch.equal(first.validation, again.validation)
    assert not torch.equal(first.validation, other.validation)


def test_a_share_of_zero_asks_for_no_split() -> None:
    parts = split_indices(10, validation=0.5, test=0.0, seed=0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (5, 5, 0)


@pytest.mark.parametrize(
    ("total", "validation", "test", "named"),
    [(3, 0.1, 0.3, "validation"), (3, 0.4, 0.1, "test"), (2, 0.5, 0.3, "train")],
)
def test_f64_an_empty_split_is_named(
    total: int, validation: float, test: float, named: str
) -> None:
    with pytest.raises(DatasetInvalidError, match=f"split {named} must have samples"):
        split_indices(total, validation=validation, test=test, seed=0)


def test_the_digest_depends_on_content_shape_type_and_order() -> None:
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    digests = [
        digest([zeros]),
        digest([zeros + 1]),
        digest([zeros.reshape(3, 2)]),
        digest([zeros.to(torch.int32)]),
        digest([zeros, "a", "b"]),
        digest([zeros, "b", "a"]),
    ]
    assert len(set(digests)) == len(digests)
    assert digest([zeros]) == digest([zeros.clone()])
