"""A file is there and whole, or it is as it was before."""

import json
import os
from pathlib import Path

import pytest

from canary import Canary
from trimtab_trainer.storage.filesystem import atomic_write, read_json, staged, write_json


def test_content_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "stages" / "train.json"
    atomic_write(path, b"old")
    atomic_write(path, "neü\n")
    assert path.read_bytes() == "neü\n".encode()


def test_a_failing_writer_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def give_up() -> None:
        with staged(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("exporter gave up")

    with pytest.raises(RuntimeError, match="exporter"):
        give_up()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("old")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_staged_file_keeps_its_suffix_and_is_synced_before_it_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    published_at_sync: list[bool] = []
    sync = os.fsync

    def watch(descriptor: int) -> None:
        published_at_sync.append(path.exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with staged(path) as temporary:
        assert temporary.suffix == ".onnx"
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert published_at_sync == [False, True]


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    value = {"name": "grün", "values": [0.1, 2], "none": None}
    write_json(path, value)
    assert read_json(path) == value


def test_a_missing_json_file_is_none_and_a_broken_one_raises(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert read_json(path) is None
    path.write_text("{")
    with pytest.raises(json.JSONDecodeError):
        read_json(path)


def test_f60_a_pickle_in_place_of_json_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    """So are read: stage entries, reports, manifests, fences, and what a search knew before."""
    canary, path = Canary(tmp_path / "canary"), tmp_path / "search.json"
    path.write_bytes(canary.content)
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        read_json(path)
    canary.check()
