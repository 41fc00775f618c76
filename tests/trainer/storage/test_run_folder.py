"""A run folder belongs to one study over one set of data, once it has results."""

from pathlib import Path

import pytest

from job_runs import make_search_job
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_trainer.errors import StudyMismatchError
from trimtab_trainer.storage.filesystem import write_json
from trimtab_trainer.storage.run_folder import enter_attempt, enter_data

DIGEST = "a" * 64
RESULTS = ("trials", "stages/train.json", "checkpoints/train/unfinished/3.safetensors")


def enter(folder: Path, fingerprint: str = "f", job: OptimizationJob | None = None) -> int:
    spec = (job or make_search_job()).spec
    return enter_attempt(folder, name="tiny", fingerprint=fingerprint * 64, spec=spec)


def leave(folder: Path, result: str) -> None:
    path = folder / result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_each_start_has_the_next_number_and_may_see_the_same_data(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        assert enter(tmp_path) == attempt
        enter_data(tmp_path, DIGEST)
        leave(tmp_path, "trials")


@pytest.mark.parametrize("result", RESULTS)
def test_other_data_than_those_of_results_are_refused_with_both_hashes(
    tmp_path: Path, result: str
) -> None:
    enter(tmp_path)
    enter_data(tmp_path, DIGEST)
    leave(tmp_path, result)
    enter(tmp_path)
    with pytest.raises(StudyMismatchError, match=r"hash aaaaaaaaaaaa, but have bbbbbbbbbbbb"):
        enter_data(tmp_path, "b" * 64)


def test_other_data_are_fine_while_nothing_is_finished(tmp_path: Path) -> None:
    enter(tmp_path)
    enter_data(tmp_path, DIGEST)
    enter_data(tmp_path, "b" * 64)
    leave(tmp_path, "trials")
    with pytest.raises(StudyMismatchError):
        enter_data(tmp_path, DIGEST)


@pytest.mark.parametrize("result", RESULTS)
def test_f55_another_study_is_refused_with_both_fingerprints(tmp_path: Path, result: str) -> None:
    enter(tmp_path)
    leave(tmp_path, result)
    with pytest.raises(StudyMismatchError, match=r"ffffffffffff.*eeeeeeeeeeee"):
        enter(tmp_path, "e")
    assert (tmp_path / result).exists()


def test_a_folder_without_results_is_taken_over(tmp_path: Path) -> None:
    enter(tmp_path)
    enter(tmp_path)
    enter_data(tmp_path, DIGEST)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "report.json").touch()

    assert enter(tmp_path, "e") == 1
    enter_data(tmp_path, "b" * 64)
    assert enter(tmp_path, "e") == 2
    assert not (tmp_path / "report.json").exists()


def test_f57_a_refusal_names_what_changed(tmp_path: Path) -> None:
    enter(tmp_path)
    leave(tmp_path, "trials")
    manifest = make_search_job().spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    report = {"fingerprint": "f" * 64, "manifest": manifest}
    write_json(tmp_path / "report.json", report)
    assert set(report) <= set(RunReport.model_fields)

    with pytest.raises(StudyMismatchError) as caught:
        enter(tmp_path, "e", make_search_job(train={"epochs": 5}, search={"numTrials": 9}))

    assert "spec.stages.train.epochs was 2 and is 5, which cannot change" in str(caught.value)
    assert "numTrials" not in str(caught.value)
