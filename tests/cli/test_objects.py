"""Results are copied out of a real S3 server."""

from pathlib import Path

import pytest

from s3_server import Bucket, bucket, s3_server
from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.objects import BucketFolder
from trimtab_cli.results import ResultPlace, ResultsError, copy_results

__all__ = ["bucket", "s3_server"]

LARGE = bytes(range(256)) * 20_000


def test_the_files_below_a_prefix_are_copied_whole(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a1/report.json", b"{}")
    bucket.put("a1/artifacts/dense.onnx", LARGE)
    bucket.put("a10/report.json", b"of another attempt")

    source = BucketFolder(ResultPlace("s3", bucket.name, "a1"))
    copied = copy_results(source, tmp_path, ("report.json", "artifacts"))

    assert [file.path for file in copied] == [
        tmp_path / "artifacts" / "dense.onnx",
        tmp_path / "report.json",
    ]
    assert copied[0].path.read_bytes() == LARGE
    assert source.list_files() == {"artifacts/dense.onnx": len(LARGE), "report.json": 2}


def test_wrong_credentials_are_the_environments_fault(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    with pytest.raises(ResultsError, match="AWS_SECRET_ACCESS_KEY") as caught:
        BucketFolder(ResultPlace("s3", bucket.name, "a1")).list_files()

    assert caught.value.exit_code is ExitCode.ENVIRONMENT_MISSING


def test_a_bucket_that_is_not_there_is_named(bucket: Bucket) -> None:
    with pytest.raises(ResultsError, match="cannot list s3://nowhere/a1"):
        BucketFolder(ResultPlace("s3", "nowhere", "a1")).list_files()
