"""What trials cost beyond their sleep is wall time less sleep, per trial and worker."""

import pytest

from bench.sleeping_trial import Measured, Stamp, sleep_and_score


def test_one_worker_is_idle_between_its_trials() -> None:
    run = Measured([Stamp(0, 1), Stamp(1.1, 2.1), Stamp(2.2, 3.2)], wall=3.5, workers=1)
    assert run.whole_ms == pytest.approx(500 / 3)
    assert run.between_ms == pytest.approx(100)
    assert run.utilization == pytest.approx(100 * 3 / 3.2)


def test_two_workers_count_as_one_that_sleeps_twice_as_fast() -> None:
    stamps = [Stamp(0, 1), Stamp(0, 1), Stamp(1.2, 2.2), Stamp(1.2, 2.2)]
    run = Measured(stamps, wall=2.4, workers=2)
    assert run.whole_ms == pytest.approx(100)
    assert run.between_ms == pytest.approx(200)
    assert run.utilization == pytest.approx(100 * 4 / 4.4)


def test_a_trial_tells_its_loss_and_when_it_slept() -> None:
    result = sleep_and_score(0.01, 0.5, 0.0)
    assert result["loss"] == 0
    assert result["begin"] <= result["end"]
