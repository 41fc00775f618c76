"""The folder of a job keeps the same promises on a claim and in a bucket of a real S3 server."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3_server import Bucket
from trimtab_trainer.errors import FencedError, UserError
from trimtab_trainer.storage import claim
from trimtab_trainer.storage._base import AbstractRunStorage, list_attempts
from trimtab_trainer.storage.filesystem import atomic_write, list_folders, read_json, write_json
from trimtab_trainer.storage.objects import ObjectStore
from trimtab_trainer.storage.opening import StoragePlace, job_uri, open_storage
from trimtab_trainer.storage.trial_log import TrialLog, find_newest_log, read_any_log

Opener = Callable[[], AbstractRunStorage]
"""Opens the same storage as another machine does."""


@pytest.fixture(params=["claim", pytest.param("bucket", marks=pytest.mark.s3)])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    if request.param == "claim":
        return lambda: _opened("pvc://runs/vision", tmp_path, tmp_path / "unused")
    found = request.getfixturevalue("bucket")
    assert isinstance(found, Bucket)
    machines = iter(range(99))
    return lambda: _opened(f"s3://{found.name}/vision", tmp_path, tmp_path / f"m{next(machines)}")


def _opened(root: str, data_root: Path, scratch: Path) -> AbstractRunStorage:
    uri = job_uri(root, namespace="team", name="job", uid="u-1")
    storage = StoragePlace(uri, data_root=data_root, scratch=scratch).open()
    storage.attach()
    return storage


def fill(folder: Path) -> None:
    """Write what an attempt leaves."""
    log = TrialLog(folder / "trials", fingerprint="f")
    for number in range(3):
        log.append({"number": number})
    write_json(folder / "job.json", {"fingerprint": "f"})
    write_json(folder / "stages" / "search.json", {"schema": 1})
    atomic_write(folder / "checkpoints" / "trial-1" / "model.safetensors", b"weights")
    atomic_write(folder / "artifacts" / "dense.onnx", b"model")
    atomic_write(folder / "logs" / "driver.log", "traceback")
    atomic_write(folder / "report.json", "{}")
    write_json(folder / "targets" / "edge.json", {})


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_job_begins_with_no_fence_and_an_empty_folder(opener: Opener) -> None:
    storage = opener()
    assert storage.read_fence() == 0
    storage.raise_fence(1)
    folder = storage.open_attempt(1)
    assert folder == storage.root / "a1"
    assert names(folder) <= {"imported.json"}
    assert storage.read_fence() == 1


def test_f42_an_earlier_attempt_meets_the_fence_of_a_later_one(opener: Opener) -> None:
    earlier, later = opener(), opener()
    earlier.raise_fence(1)
    earlier.check_fence(1)
    later.raise_fence(2)
    later.raise_fence(2)
    later.check_fence(2)
    with pytest.raises(FencedError, match="attempt 2 has begun"):
        earlier.check_fence(1)
    with pytest.raises(FencedError):
        earlier.raise_fence(1)
    assert later.read_fence() == 2


def test_the_next_attempt_has_all_that_the_last_one_finished(opener: Opener) -> None:
    first = opener()
    first.raise_fence(1)
    fill(first.open_attempt(1))
    second = opener()
    second.raise_fence(2)
    folder = second.open_attempt(2)
    assert names(folder) - {"imported.json"} == {
        "trials",
        "job.json",
        "stages/search.json",
        "checkpoints/trial-1/model.safetensors",
        "artifacts/dense.onnx",
    }
    assert (folder / "artifacts" / "dense.onnx").read_bytes() == b"model"
    assert TrialLog(folder / "trials", fingerprint="f").read() == [
        {"number": 0},
        {"number": 1},
        {"number": 2},
    ]


def test_the_trial_log_goes_on_in_the_next_attempt_alone(opener: Opener) -> None:
    first = opener()
    old = first.open_attempt(1)
    fill(old)
    second = opener()
    new = second.open_attempt(2)
    TrialLog(new / "trials", fingerprint="f", attempt=2).append({"number": 3})
    third = opener().open_attempt(3)
    assert [record["number"] for record in TrialLog(third / "trials", fingerprint="f").read()] == [
        0,
        1,
        2,
        3,
    ]
    assert b'"number":3' not in (old / "trials").read_bytes()


def test_f42_nothing_that_an_earlier_attempt_writes_later_is_seen(opener: Opener) -> None:
    first = opener()
    old = first.open_attempt(1)
    fill(old)
    new = opener().open_attempt(2)
    atomic_write(old / "artifacts" / "dense.onnx", b"a late write")
    atomic_write(old / "stages" / "train.json", "{}")
    again = opener().open_attempt(2)
    for folder in (new, again):
        assert (folder / "artifacts" / "dense.onnx").read_bytes() == b"model"
        assert not (folder / "stages" / "train.json").exists()


def test_an_attempt_whose_import_broke_off_is_passed_over(opener: Opener) -> None:
    fill(opener().open_attempt(1))
    broken = opener()
    atomic_write(broken.join_attempt(2) / "stages" / "train.json", "{}")
    folder = opener().open_attempt(3)
    assert (folder / "artifacts" / "dense.onnx").exists()
    assert not (folder / "stages" / "train.json").exists()


def test_a_driver_that_starts_again_goes_on_in_its_own_attempt(opener: Opener) -> None:
    fill(opener().open_attempt(1))
    write_json(opener().open_attempt(2) / "stages" / "train.json", {"mine": True})
    folder = opener().open_attempt(2)
    assert read_json(folder / "stages" / "train.json") == {"mine": True}


def test_another_job_is_another_folder() -> None:
    assert (
        job_uri("s3://runs/vision/", namespace="n", name="j", uid="u") == "s3://runs/vision/n/j/u"
    )


def test_f42_of_two_that_raise_the_fence_at_once_the_later_attempt_goes_on(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, later = opener(), opener()
    monkeypatch.setattr(ObjectStore, "write", _after(later, ObjectStore.write))
    monkeypatch.setattr(claim, "write_json", _after(later, claim.write_json))
    with pytest.raises(FencedError):
        earlier.raise_fence(1)
    assert later.read_fence() == 2


def _after(later: AbstractRunStorage, write: Callable[..., Any]) -> Callable[..., Any]:
    """Let the later attempt raise the fence right before the earlier one writes it."""
    pending = [2]

    def wait(*arguments: Any, **options: Any) -> Any:
        if pending:
            later.raise_fence(pending.pop())
        return write(*arguments, **options)

    return wait


def test_the_newest_log_of_another_job_is_found(opener: Opener) -> None:
    for attempt in (1, 2):
        fill(opener().open_attempt(attempt))
    here = opener().root
    found = find_newest_log([list_attempts(list_folders(here))])
    assert found == here / "a2" / "trials"
    assert len(read_any_log(found)) == 6


def test_f14_the_log_of_the_latest_attempt_is_the_newest_whatever_its_machine_s_clock_said(
    tmp_path: Path,
) -> None:
    for attempt in (2, 10):
        fill(tmp_path / f"a{attempt}")
    slow = (tmp_path / "a10" / "trials").stat().st_mtime - 600
    os.utime(tmp_path / "a10" / "trials", (slow, slow))
    (tmp_path / "a11").mkdir()
    found = find_newest_log([list_attempts(list_folders(tmp_path))])
    assert found == tmp_path / "a10" / "trials"


def test_a_place_that_is_no_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be of a job"):
        open_storage("s3://bucket/name/uid", data_root=tmp_path, scratch=tmp_path)


def test_a_uri_of_another_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="s3://bucket/prefix"):
        open_storage("gs://bucket/x", data_root=tmp_path, scratch=tmp_path)
