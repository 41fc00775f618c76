"""Data and weights of a bucket become local files, once per machine while they stay the same."""

import os
from pathlib import Path

import pytest

from s3_server import Bucket
from trimtab_trainer.errors import UserError
from trimtab_trainer.storage.downloads import localize
from trimtab_trainer.storage.uris import BucketPlace, parse_bucket


def local(uri: str, folder: Path) -> Path:
    return localize(uri, data_root=folder / "claims", downloads=folder / "down", prefix="NONE_")


def test_a_folder_of_objects_is_a_folder_of_files(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("pets/train/cat/1.png", "pets/train/dog/2.png", "pets-too/3.png"):
        bucket.put(key, key.encode())
    bucket.put("pets/empty/", b"")
    folder = local(f"s3://{bucket.name}/pets", tmp_path)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"train/cat/1.png", "train/dog/2.png"}
    assert (folder / "train/cat/1.png").read_bytes() == b"pets/train/cat/1.png"


def test_an_object_is_a_file_of_its_name(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("models/r50.safetensors", b"weights")
    path = local(f"s3://{bucket.name}/models/r50.safetensors", tmp_path)
    assert path.name == "r50.safetensors"
    assert path.read_bytes() == b"weights"


def test_what_did_not_change_is_not_downloaded_again(bucket: Bucket, tmp_path: Path) -> None:
    uri = f"s3://{bucket.name}/data"
    for key in ("data/same", "data/other", "data/gone"):
        bucket.put(key, b"one")
    folder = local(uri, tmp_path)
    os.utime(folder / "same", (1, 1))
    bucket.put("data/other", b"two")
    bucket.store.delete(["data/gone"])
    assert local(uri, tmp_path) == folder
    assert (folder / "same").stat().st_mtime == 1
    assert (folder / "other").read_bytes() == b"two"
    assert not (folder / "gone").exists()


def test_nothing_there_is_a_missing_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("database")
    with pytest.raises(FileNotFoundError, match="no object"):
        local(f"s3://{bucket.name}/data", tmp_path)


def test_a_claim_stays_where_it_is(tmp_path: Path) -> None:
    assert local("pvc://claim/data", tmp_path) == tmp_path / "claims" / "claim" / "data"


def test_without_a_folder_for_it_a_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="URI must be"):
        localize("s3://bucket/data", data_root=tmp_path, downloads=None, prefix="NONE_")


def test_the_place_of_a_uri() -> None:
    assert parse_bucket("s3://bucket/a/b/") == BucketPlace("bucket", "a/b")
    assert parse_bucket("s3://bucket") == BucketPlace("bucket", "")
    assert parse_bucket("pvc://claim/a") is None
    assert BucketPlace("bucket", "").key("x") == "x"


@pytest.mark.parametrize("rest", ["", "user:secret@bucket/key", "bucket/../other", "bucket//key"])
def test_a_strange_bucket_is_refused_without_repeating_it(rest: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_bucket(f"s3://{rest}")
    assert "secret" not in str(caught.value)
