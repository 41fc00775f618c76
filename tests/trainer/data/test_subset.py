"""The calibration subset is drawn by seed, without repeats, and hashed."""

import pytest
import torch

from trimtab_trainer.data.subset import choose_subset
from trimtab_trainer.errors import CalibrationInvalidError


def test_same_seed_gives_the_same_subset_and_another_seed_another() -> None:
    first = choose_subset(1000, 64, seed=3)
    second = choose_subset(1000, 64, seed=3)
    other = choose_subset(1000, 64, seed=4)
    assert torch.equal(first.indices, second.indices)
    assert first.digest == second.digest != other.digest


def test_indices_are_distinct_ascending_and_inside() -> None:
    indices = choose_subset(100, 30, seed=0).indices
    assert indices.dtype == torch.int64
    assert sorted(set(indices.tolist())) == indices.tolist()
    assert len(indices) == 30
    assert 0 <= int(indices.min()) <= int(indices.max()) < 100


def test_all_samples_are_taken_where_there_are_fewer() -> None:
    assert choose_subset(5, 512, seed=0).indices.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("total", "samples"), [(0, 512), (10, 0)])
def test_f68_no_sample_is_an_error(total: int, samples: int) -> None:
    with pytest.raises(CalibrationInvalidError, match=f"{samples} of {total} are asked for"):
        choose_subset(total, samples, seed=0)
