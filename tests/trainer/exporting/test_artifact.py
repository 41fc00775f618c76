"""A model file is described by its hash and its sizes, its companions included."""

import hashlib
from pathlib import Path

import pytest

from trimtab_trainer.exporting.artifact import artifact_files, describe_file, digest_artifact


def test_sizes_are_in_mib_and_zeros_compress_away(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(bytes(3 * 1024**2))
    described = describe_file(path)
    assert described.size_mib == 3.0
    assert 0 < described.size_compressed_mib < 0.01
    assert described.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_ir_is_its_graph_and_its_weights_in_every_figure(tmp_path: Path) -> None:
    path, weights = tmp_path / "pruned-int8.xml", tmp_path / "pruned-int8.bin"
    path.write_bytes(bytes(1024**2))
    weights.write_bytes(bytes(2 * 1024**2) + b"end")
    described = describe_file(path)
    alone = describe_file(weights)
    assert artifact_files(path) == (path, weights)
    assert described.path == path
    assert described.size_mib == 1 + alone.size_mib
    assert described.size_compressed_mib > alone.size_compressed_mib
    whole = path.read_bytes() + weights.read_bytes()
    assert described.sha256 == hashlib.sha256(whole).hexdigest()


def test_a_changed_companion_changes_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("graph")
    path.with_suffix(".bin").write_text("weights")
    before = digest_artifact(path)
    path.with_suffix(".bin").write_text("weightz")
    assert digest_artifact(path) != before


@pytest.mark.parametrize("name", ["x.onnx", "x.xml"])
def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    if name == "x.xml":
        (tmp_path / name).write_text("its weights are missing")
    with pytest.raises(FileNotFoundError):
        describe_file(tmp_path / name)
