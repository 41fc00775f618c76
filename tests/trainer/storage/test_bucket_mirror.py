"""Two machines that share a bucket see what the other published, and only as much as they ask for."""

from pathlib import Path

import pytest

from mirrors import detach_mirrors
from s3_server import Bucket
from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_trainer.errors import FencedError, TrialLogCorruptError
from trimtab_trainer.storage.bucket_mirror import BucketMirror
from trimtab_trainer.storage.filesystem import (
    atomic_write,
    discard,
    list_folders,
    remove,
    staged,
)
from trimtab_trainer.storage.mirror import attach_mirror, fetch_named
from trimtab_trainer.storage.objects import ObjectAccess, ObjectStore
from trimtab_trainer.storage.patience import patiently
from trimtab_trainer.storage.trial_log import TrialLog
from trimtab_trainer.storage.uris import BucketPlace


def join(bucket: Bucket, root: Path) -> Path:
    """Attach a machine of its own, and return its folder of the job."""
    place = BucketPlace(bucket.name, "")
    attach_mirror(root, BucketMirror(bucket.store, place, root))
    return root / "n/job/u"


@pytest.fixture
def here(bucket: Bucket, tmp_path: Path) -> Path:
    return join(bucket, tmp_path / "here")


@pytest.fixture
def there(bucket: Bucket, tmp_path: Path) -> Path:
    return join(bucket, tmp_path / "there")


def test_what_is_published_is_an_object(bucket: Bucket, here: Path) -> None:
    atomic_write(here / "a1" / "stages" / "train.json", "{}")
    assert bucket.store.read("n/job/u/a1/stages/train.json")[0] == b"{}"


def test_work_gets_what_its_arguments_name_and_nothing_else(here: Path, there: Path) -> None:
    for name in ("checkpoints/train/model", "checkpoints/trial-1/model", "artifacts/a.onnx"):
        atomic_write(here / "a1" / name, name)
    fetch_named([there / "a1" / "checkpoints" / "train", "text", None])
    assert (
        there / "a1" / "checkpoints" / "train" / "model"
    ).read_text() == "checkpoints/train/model"
    assert not (there / "a1" / "checkpoints" / "trial-1").exists()
    assert not (there / "a1" / "artifacts").exists()


def test_files_in_a_mapping_come_with_their_companions(here: Path, there: Path) -> None:
    for name in ("dense.xml", "dense.bin", "dense.int8.xml"):
        atomic_write(here / "a1" / "artifacts" / name, name)
    fetch_named([{"dense": there / "a1" / "artifacts" / "dense.xml"}])
    found = {path.name for path in (there / "a1" / "artifacts").iterdir()}
    assert found == {"dense.xml", "dense.bin"}


def test_a_newer_file_replaces_an_older_one(here: Path, there: Path) -> None:
    mine, theirs = (root / "a1" / "checkpoints" / "train" / "model" for root in (here, there))
    for content in (b"old", b"new"):
        atomic_write(mine, content)
        fetch_named([theirs.parent])
        assert theirs.read_bytes() == content


def test_what_is_known_is_not_read_again(here: Path, there: Path, bucket: Bucket) -> None:
    path = there / "a1" / "artifacts" / "a.onnx"
    atomic_write(here / "a1" / "artifacts" / "a.onnx", b"model")
    fetch_named([path])
    path.write_bytes(b"marked")
    fetch_named([path])
    assert path.read_bytes() == b"marked"


def test_what_was_removed_elsewhere_goes_here_too(here: Path, there: Path) -> None:
    for number in (1, 2):
        atomic_write(there / "a1" / "checkpoints" / f"trial-{number}" / "model", b"weights")
    remove(here / "a1" / "checkpoints" / "trial-1")
    fetch_named([there / "a1" / "checkpoints" / "trial-2"])
    assert not (there / "a1" / "checkpoints" / "trial-1" / "model").exists()
    assert (there / "a1" / "checkpoints" / "trial-2" / "model").exists()


def test_removing_spares_a_folder_whose_name_begins_alike(bucket: Bucket, here: Path) -> None:
    for number in (1, 10):
        atomic_write(here / "a1" / f"trial-{number}" / "model", b"weights")
    remove(here / "a1" / "trial-1")
    assert bucket.keys() == ["n/job/u/a1/trial-10/model"]


def test_folders_that_only_storage_has_are_listed(here: Path, there: Path) -> None:
    atomic_write(here / "a1" / "checkpoints" / "trial-1" / "model", b"weights")
    (there / "a1" / "checkpoints" / "trial-2").mkdir(parents=True)
    folder = there / "a1" / "checkpoints"
    assert list_folders(folder) == [folder / "trial-1", folder / "trial-2"]


def test_f58_what_the_store_refuses_is_not_published_here(bucket: Bucket, tmp_path: Path) -> None:
    root, path = tmp_path, tmp_path / "a1" / "model"
    path.parent.mkdir()
    path.write_bytes(b"old")
    wrong = ObjectStore(
        bucket.name, ObjectAccess("tester", "x", endpoint=bucket.server.access.endpoint)
    )
    attach_mirror(root, BucketMirror(wrong, BucketPlace(bucket.name, ""), root))
    with pytest.raises(PermissionError), staged(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["model"]
    discard(path)
    assert path.exists()


def test_each_record_of_a_trial_log_is_an_object(bucket: Bucket, here: Path, there: Path) -> None:
    log = TrialLog(here / "a1" / "trials", fingerprint="f")
    log.append({"number": 0})
    log.append({"number": 1})
    assert bucket.keys() == [f"n/job/u/a1/trials/0000000{number}" for number in range(3)]
    assert TrialLog(there / "a1" / "trials", fingerprint="f").read() == [
        {"number": 0},
        {"number": 1},
    ]


def test_f53_a_missing_last_record_costs_its_trial_alone(
    bucket: Bucket, here: Path, there: Path
) -> None:
    log = TrialLog(here / "a1" / "trials", fingerprint="f")
    for number in range(2):
        log.append({"number": number})
    bucket.store.delete(["n/job/u/a1/trials/00000002"])
    again = TrialLog(there / "a1" / "trials", fingerprint="f", attempt=2)
    assert again.read() == [{"number": 0}]
    again.append({"number": 9})
    assert again.read() == [{"number": 0}, {"number": 9}]


def test_f53_a_missing_record_before_the_last_is_named(
    bucket: Bucket, here: Path, there: Path
) -> None:
    log = TrialLog(here / "a1" / "trials", fingerprint="f")
    for number in range(3):
        log.append({"number": number})
    bucket.store.delete(["n/job/u/a1/trials/00000002"])
    with pytest.raises(TrialLogCorruptError, match="object 00000002"):
        TrialLog(there / "a1" / "trials", fingerprint="f").read()


def test_f42_a_record_is_never_written_over(here: Path, there: Path, bucket: Bucket) -> None:
    mine = TrialLog(here / "a1" / "trials", fingerprint="f")
    mine.append({"number": 0})
    other = TrialLog(there / "a1" / "trials", fingerprint="f")
    other.append({"number": 1})
    with pytest.raises(FencedError, match="second driver"):
        mine.append({"number": 2})
    assert b'"number":1' in bucket.store.read("n/job/u/a1/trials/00000002")[0]


def test_f52_a_record_whose_answer_was_lost_is_written_once(here: Path, bucket: Bucket) -> None:
    log = TrialLog(here / "a1" / "trials", fingerprint="f")
    log.append({"number": 0})
    other = TrialLog(here / "a1" / "trials", fingerprint="f")
    other.read()
    line = (here / "a1" / "trials").read_bytes().splitlines(keepends=True)[1]
    BucketMirror(bucket.store, BucketPlace(bucket.name, ""), here).append_log(
        here / "a1" / "trials", 1, line
    )
    assert other.read() == [{"number": 0}]


def test_f52_records_are_stored_in_order_once_the_store_answers_again(
    here: Path, bucket: Bucket
) -> None:
    log = TrialLog(here / "a1" / "trials", fingerprint="f")
    log.append({"number": 0})
    bucket.server.stop()
    troubles = list(
        patiently(lambda: log.append({"number": 1}), sleep=lambda _: bucket.server.start())
    )
    assert [trouble.reason for trouble in troubles] == [DegradedReason.STORAGE_UNREACHABLE]
    log.append({"number": 2})
    assert [record["number"] for record in log.read()] == [0, 1, 2]


def test_without_a_mirror_a_path_is_only_a_file(tmp_path: Path) -> None:
    detach_mirrors()
    atomic_write(tmp_path / "file", b"content")
    fetch_named([tmp_path / "file"])
    assert list_folders(tmp_path / "nothing") == []
    remove(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
