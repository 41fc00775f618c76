"""On a claim attempts share files by links, and two that race cannot both go on."""

from pathlib import Path

import pytest

from trimtab_trainer.errors import FencedError
from trimtab_trainer.storage.claim import ClaimStorage
from trimtab_trainer.storage.filesystem import atomic_write


def test_the_next_attempt_links_files_instead_of_copying_them(tmp_path: Path) -> None:
    storage = ClaimStorage(tmp_path)
    old = storage.open_attempt(1) / "artifacts" / "dense.onnx"
    atomic_write(old, b"model")
    new = storage.open_attempt(2) / "artifacts" / "dense.onnx"
    assert new.samefile(old)


def test_without_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    storage = ClaimStorage(tmp_path)
    atomic_write(storage.open_attempt(1) / "artifacts" / "dense.onnx", b"model")
    new = storage.open_attempt(2) / "artifacts" / "dense.onnx"
    assert new.read_bytes() == b"model"
    assert new.stat().st_nlink == 1


def test_f42_an_overwritten_fence_does_not_hide_a_later_attempt(tmp_path: Path) -> None:
    storage = ClaimStorage(tmp_path)
    storage.raise_fence(2)
    atomic_write(tmp_path / "fence", '{"attempt": 1}')  # by one that had read it before
    with pytest.raises(FencedError):
        storage.check_fence(1)
