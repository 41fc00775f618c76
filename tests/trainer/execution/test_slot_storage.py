"""Before a slot works it has the files that the work's arguments name, or waits for storage."""

import errno
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from mirrors import detach_mirrors
from s3_server import Bucket, bucket, s3_server
from trimtab_trainer.execution._base import Done
from trimtab_trainer.execution.slot_process import SlotProcess
from trimtab_trainer.storage import patience
from trimtab_trainer.storage.bucket_mirror import BucketMirror
from trimtab_trainer.storage.mirror import attach_mirror
from trimtab_trainer.storage.objects import ObjectStore, StoredObject
from trimtab_trainer.storage.uris import BucketPlace

__all__ = ["bucket", "s3_server"]

NAME = "n/job/u/a1/artifacts/dense.onnx"


def read(_: object, *, path: Path) -> Generator[None, None, bytes]:
    yield None
    return path.read_bytes()


@pytest.fixture
def root(bucket: Bucket, tmp_path: Path) -> Iterator[Path]:
    bucket.put(NAME, b"model")
    attach_mirror(tmp_path, BucketMirror(bucket.store, BucketPlace(bucket.name, ""), tmp_path))
    yield tmp_path
    detach_mirrors()


def test_work_reads_what_another_machine_published(root: Path) -> None:
    *_, done = SlotProcess(0, 1, None).run(1, object, read, {"path": root / NAME})
    assert isinstance(done, Done)
    assert done.value == b"model"


def test_f52_work_waits_for_storage_instead_of_failing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = ObjectStore.list_objects
    answers = iter([False, True, True])

    def answer(store: ObjectStore, prefix: str) -> Iterator[StoredObject]:
        if not next(answers):
            raise OSError(errno.EHOSTUNREACH, "away")
        return listing(store, prefix)

    monkeypatch.setattr(ObjectStore, "list_objects", answer)
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.0)
    told, *_, done = SlotProcess(0, 1, None).run(1, object, read, {"path": root / NAME})
    assert isinstance(told, patience.StorageTrouble)
    assert isinstance(done, Done)
    assert done.value == b"model"
