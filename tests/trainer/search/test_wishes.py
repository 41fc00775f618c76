"""A search obeys what is wanted while it runs: fewer or more trials, fewer at a time, or an end."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from search_scenario import Scenario
from toy_search import make_study
from trimtab_trainer.errors import RunStoppedError
from trimtab_trainer.supervision import Wishes


def wishing(*answers: Wishes) -> Callable[[], Wishes]:
    """Give one answer after the other, the last one for good."""
    waiting = list(answers)
    return lambda: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def numbers(heard: Sequence[str], word: str) -> list[int]:
    return [int(line.split()[1]) for line in heard if line.startswith(word)]


def test_f26_a_raised_number_of_trials_extends_the_search_that_runs(tmp_path: Path) -> None:
    heed = wishing(Wishes(), Wishes(num_trials=4))
    scenario = Scenario(tmp_path, make_study(num_trials=2), heed=heed)
    assert [trial.number for trial in scenario.run()] == [0, 1, 2, 3]


def test_f26_a_number_below_what_is_done_ends_the_search_at_once(tmp_path: Path) -> None:
    epochs = {0: 1, 1: 50, 2: 50}
    scenario = Scenario(tmp_path, make_study(num_trials=9), epochs=epochs, slots=2)
    scenario.heed = lambda: Wishes(num_trials=1 if "record 0" in scenario.heard else None)
    assert [trial.number for trial in scenario.run()] == [0]
    assert numbers(scenario.heard, "start") == [0, 1, 2]
    assert "epoch 1.50" not in scenario.heard


def test_f26_trials_that_were_cut_off_run_first_when_the_study_is_extended(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, make_study(num_trials=9), epochs={1: 50, 2: 50}, slots=2)
    scenario.heed = lambda: Wishes(num_trials=1 if "record 0" in scenario.heard else None)
    scenario.run()
    extended = Scenario(tmp_path, make_study(num_trials=3))
    assert [trial.number for trial in extended.run()] == [1, 2]
    assert extended.placed[1] == scenario.placed[1]


def test_f26_fewer_trials_at_a_time_is_obeyed_at_once(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path, make_study(num_trials=6), slots=3, heed=lambda: Wishes(parallel_trials=1)
    )
    assert len(scenario.run()) == 6
    assert {line.split()[-1] for line in scenario.heard if line.startswith("start")} == {"0"}


def test_f26_more_trials_at_a_time_than_slots_are_all_slots(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path, make_study(num_trials=4), slots=2, heed=lambda: Wishes(parallel_trials=8)
    )
    assert len(scenario.run()) == 4
    assert {line.split()[-1] for line in scenario.heard if line.startswith("start")} == {"0", "1"}


def test_a_stop_ends_the_search_and_leaves_what_is_recorded(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, make_study(num_trials=4), epochs={1: 50})

    def heed() -> Wishes:
        if "epoch 1.1" in scenario.heard:
            raise RunStoppedError("asked")
        return Wishes()

    scenario.heed = heed
    with pytest.raises(RunStoppedError):
        scenario.run()
    assert [trial.number for trial in scenario.stored()] == [0]
    scenario.heed = Wishes
    again = Scenario(tmp_path, make_study(num_trials=4))
    assert [trial.number for trial in again.run()] == [1, 2, 3]
