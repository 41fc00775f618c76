"""A run folder belongs to one study over one set of data."""

from pathlib import Path

import pytest

from trimtab_trainer.errors import StudyMismatchError
from trimtab_trainer.storage.run_folder import enter_attempt, enter_data

DIGEST = "a" * 64


def enter(folder: Path) -> int:
    return enter_attempt(folder, name="tiny", fingerprint="f" * 64)


def test_each_start_has_the_next_number_and_may_see_the_same_data(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        assert enter(tmp_path) == attempt
        enter_data(tmp_path, DIGEST)


def test_other_data_than_those_of_earlier_trials_are_refused_with_both_hashes(
    tmp_path: Path,
) -> None:
    enter(tmp_path)
    enter_data(tmp_path, DIGEST)
    enter(tmp_path)
    with pytest.raises(StudyMismatchError, match=r"hash aaaaaaaaaaaa, but have bbbbbbbbbbbb"):
        enter_data(tmp_path, "b" * 64)


def test_f55_another_study_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    enter(tmp_path)
    with pytest.raises(StudyMismatchError, match=r"ffffffffffff.*eeeeeeeeeeee"):
        enter_attempt(tmp_path, name="tiny", fingerprint="e" * 64)
