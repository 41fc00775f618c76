"""What other programs take of the CPUs is told apart from what the measuring process takes."""

import os
from pathlib import Path

import pytest

from trimtab_trainer.benchmarking.contention import (
    ContentionMeter,
    find_share,
    read_busy_seconds,
)

# user nice system idle iowait irq softirq steal guest guest_nice
STAT = """cpu  0 0 0 0 0 0 0 0 0 0
cpu0 100 20 30 9000 800 4 5 6 70 8
cpu1 200 0 0 9000 800 0 0 0 0 0
intr 1 2 3
"""


@pytest.mark.parametrize(("cpus", "ticks"), [((0,), 165), ((1,), 200), ((0, 1), 365)])
def test_the_busy_time_of_some_cpus_leaves_out_idle_and_waiting(
    cpus: tuple[int, ...], ticks: int
) -> None:
    busy = read_busy_seconds(cpus, lambda: STAT)
    assert busy == pytest.approx(ticks / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("cpus", [(), (7,)])
def test_without_a_counter_of_the_cpus_nothing_is_told(cpus: tuple[int, ...]) -> None:
    assert read_busy_seconds(cpus, lambda: STAT) is None
    assert ContentionMeter(cpus).read() is None


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3\n"])
def test_a_counter_of_another_form_tells_nothing(text: str) -> None:
    assert read_busy_seconds((0,), lambda: text) is None


def test_a_platform_without_the_counter_tells_nothing(tmp_path: Path) -> None:
    assert read_busy_seconds((0,), (tmp_path / "stat").read_text) is None


@pytest.mark.parametrize(
    ("busy", "own", "share"),
    [
        pytest.param(2.0, 2.0, 0.0, id="idle machine, two threads compute"),
        pytest.param(1.0, 1.0, 0.0, id="idle machine, one of two threads computes"),
        pytest.param(1.02, 1.0, 0.0, id="less than the counter's step"),
        pytest.param(1.99, 2.0, 0.0, id="the counter lags"),
        pytest.param(2.02, 1.0, 0.5, id="another program has one of two CPUs"),
        pytest.param(9.0, 0.0, 1.0, id="never above all"),
        pytest.param(0.0, 1.0, None, id="the counter stands still"),
    ],
)
def test_only_what_others_computed_counts(busy: float, own: float, share: float | None) -> None:
    found = find_share(busy=busy, own=own, capacity=2.0, resolution=0.02)
    assert found == (share if share is None else pytest.approx(share))
