"""Objects of a real S3 server come and go whole, and its refusals are errors of a file system."""

import socket
import traceback
from pathlib import Path

import pytest

from s3_server import Bucket
from trimtab_trainer.storage.objects import ABSENT, ObjectAccess, ObjectStore, read_access
from trimtab_trainer.storage.patience import is_passing


def test_an_object_is_read_as_it_was_written(bucket: Bucket, tmp_path: Path) -> None:
    etag = bucket.store.write("a/b.bin", b"\0one")
    assert bucket.store.read("a/b.bin") == (b"\0one", etag)
    assert bucket.store.download("a/b.bin", tmp_path / "here") == etag
    assert (tmp_path / "here").read_bytes() == b"\0one"


def test_a_file_becomes_an_object(bucket: Bucket, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    bucket.store.upload(tmp_path / "file", "big")
    assert bucket.store.read("big")[0] == content


def test_an_etag_changes_with_the_content(bucket: Bucket) -> None:
    assert bucket.store.write("a", b"one") != bucket.store.write("a", b"two")


def test_a_listing_goes_over_pages_and_folders(bucket: Bucket) -> None:
    for key in ("a1/x", "a1/y/z", "a2/x", "fence"):
        bucket.put(key)
    assert bucket.keys("a1/") == ["a1/x", "a1/y/z"]
    assert sorted(bucket.store.list_folders("")) == ["a1", "a2"]
    assert bucket.store.list_folders("a1/") == ["y"]


def test_only_an_absent_object_is_made(bucket: Bucket) -> None:
    bucket.store.write("record", b"first", if_tag=ABSENT)
    with pytest.raises(FileExistsError):
        bucket.store.write("record", b"second", if_tag=ABSENT)
    assert bucket.store.read("record")[0] == b"first"


def test_only_an_unchanged_object_is_replaced(bucket: Bucket) -> None:
    old = bucket.store.write("fence", b"1")
    bucket.store.write("fence", b"2", if_tag=old)
    with pytest.raises(FileExistsError):
        bucket.store.write("fence", b"3", if_tag=old)
    assert bucket.store.read("fence")[0] == b"2"


def test_a_copy_stays_in_the_store(bucket: Bucket) -> None:
    bucket.put("a1/weights", b"w")
    bucket.store.copy("a1/weights", "a2/weights")
    assert bucket.store.read("a2/weights")[0] == b"w"


def test_deleting_what_is_not_there_is_no_error(bucket: Bucket) -> None:
    bucket.put("a")
    bucket.store.delete(["a", "b"])
    bucket.store.delete([])
    assert bucket.keys() == []


def test_a_missing_object_or_bucket_is_a_missing_file(bucket: Bucket) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        bucket.store.read("nothing")
    assert caught.value.filename == f"s3://{bucket.name}/nothing"
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        ObjectStore("no-such-bucket", bucket.server.access).write("a", b"")


def test_f61_a_wrong_key_fails_at_once_with_its_cause(bucket: Bucket) -> None:
    endpoint = bucket.server.access.endpoint
    store = ObjectStore(bucket.name, ObjectAccess("tester", "wrong", endpoint=endpoint))
    with pytest.raises(PermissionError, match="SignatureDoesNotMatch") as caught:
        store.write("a", b"")
    assert not is_passing(caught.value)


def test_f61_an_unknown_user_is_no_missing_object(bucket: Bucket) -> None:
    access = ObjectAccess("nobody", "wrong", endpoint=bucket.server.access.endpoint)
    with pytest.raises(OSError, match="access key") as caught:
        ObjectStore(bucket.name, access).read("a")
    assert not isinstance(caught.value, FileNotFoundError)
    assert not is_passing(caught.value)


def test_f52_f61_a_store_that_does_not_answer_is_waited_for(bucket: Bucket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    gone = ObjectStore("bucket", ObjectAccess("a", "b", endpoint=f"http://127.0.0.1:{port}"))
    with pytest.raises(OSError, match="does not answer") as caught:
        gone.read("a")
    assert is_passing(caught.value)


def test_an_endpoint_that_is_none_is_not_waited_for() -> None:
    store = ObjectStore("bucket", ObjectAccess("a", "b", endpoint="nonsense"))
    with pytest.raises(OSError, match="cannot be made") as caught:
        store.read("a")
    assert not is_passing(caught.value)


def test_a_password_in_an_endpoint_is_refused_and_not_repeated() -> None:
    access = ObjectAccess("a", "b", endpoint="http://me:hush@127.0.0.1:9")
    with pytest.raises(OSError, match="no user and no password") as caught:
        ObjectStore("bucket", access).read("a")
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    assert not is_passing(caught.value)


def test_the_keys_of_a_secret_count_before_the_plain_ones() -> None:
    plain = {"AWS_ACCESS_KEY_ID": "p", "AWS_SECRET_ACCESS_KEY": "q", "AWS_ENDPOINT_URL": "http://p"}
    own = {"TRIMTAB_STORAGE_AWS_ACCESS_KEY_ID": "s", "TRIMTAB_STORAGE_AWS_SECRET_ACCESS_KEY": "t"}
    assert read_access("TRIMTAB_STORAGE_", plain) == ObjectAccess("p", "q", endpoint="http://p")
    assert read_access("TRIMTAB_STORAGE_", plain | own) == ObjectAccess("s", "t")


def test_the_region_comes_from_either_name() -> None:
    assert read_access("X_", {"AWS_REGION": "eu-west-1"}).region == "eu-west-1"
    assert read_access("X_", {"AWS_DEFAULT_REGION": "eu-west-2"}).region == "eu-west-2"
