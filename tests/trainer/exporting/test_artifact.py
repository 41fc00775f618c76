"""A file is described by its hash and its sizes."""

import hashlib
from pathlib import Path

import pytest

from trimtab_trainer.exporting.artifact import describe_file


def test_sizes_are_in_mib_and_zeros_compress_away(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(bytes(3 * 1024**2))
    described = describe_file(path)
    assert described.size_mib == 3.0
    assert 0 < described.size_compressed_mib < 0.01
    assert described.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        describe_file(tmp_path / "none")
