"""GPUs are shared so that every process fits, whole ones where there are enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_trainer.execution.shares import count_gpus, share_cores, share_gpus


@pytest.mark.parametrize(
    ("gpus", "workers", "expected"),
    [(0, 4, 0.0), (1, 1, 1.0), (4, 2, 1.0), (2, 4, 0.5), (1, 2, 0.5), (2, 3, 0.5), (1, 3, 0.3333)],
)
def test_a_process_gets_its_share(gpus: int, workers: int, expected: float) -> None:
    assert share_gpus(gpus, workers) == expected


@given(gpus=st.integers(1, 64), workers=st.integers(1, 256))
def test_the_shares_of_all_processes_fit_on_the_gpus(gpus: int, workers: int) -> None:
    share = share_gpus(gpus, workers)
    assert 0 < share <= 1
    # A share of less than one lies on one GPU.
    on_each = 10_000 // round(share * 10_000)
    assert gpus * on_each >= workers


@pytest.mark.parametrize(
    ("cores", "machines", "processes", "expected"),
    [(8, 1, 1, 8), (8, 1, 3, 2), (4, 4, 4, 4), (4, 2, 4, 2), (4, 2, 3, 2), (1, 1, 4, 1)],
)
def test_processes_are_spread_over_machines_and_share_the_cores_of_one(
    cores: int, machines: int, processes: int, expected: int
) -> None:
    assert share_cores(cores, machines, processes) == expected


def test_gpus_are_counted_without_any() -> None:
    assert count_gpus() >= 0
