"""Classes are folders, splits are folders of classes, and what does not fit is named."""

import errno
import os
from pathlib import Path

import pytest

from trimtab_trainer.data.folder_layout import read_layout
from trimtab_trainer.errors import DatasetInvalidError, DatasetUnavailableError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    return root


def test_classes_are_the_sorted_names_of_folders(tmp_path: Path) -> None:
    layout = read_layout(touch(tmp_path, "owl/1.jpg", "cat/2.PNG", "cat/deep/er/1.webp"))
    assert layout.classes == ("cat", "owl")
    found = [(file.name, file.split, file.label) for file in layout.files]
    assert found == [
        ("cat/2.PNG", "train", 0),
        ("cat/deep/er/1.webp", "train", 0),
        ("owl/1.jpg", "train", 1),
    ]


def test_other_files_and_hidden_ones_are_ignored(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *("cat/1.jpg", "cat/notes.txt", "cat/._1.jpg", "cat/.trash/2.jpg", "owl/1.jpg"),
        *("readme.md", ".cache/x/1.jpg", "preview.jpg"),
    )
    assert [file.name for file in read_layout(root).files] == ["cat/1.jpg", "owl/1.jpg"]


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_splits_are_folders_of_classes(tmp_path: Path, validation: str) -> None:
    names = [f"{split}/{name}/1.jpg" for split in ("train", validation) for name in ("a", "b")]
    layout = read_layout(touch(tmp_path, *names))
    assert [(file.split, file.label) for file in layout.files] == [
        ("train", 0),
        ("train", 1),
        ("validation", 0),
        ("validation", 1),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert read_layout(touch(tmp_path, "plane/1.jpg", "train/1.jpg")).classes == ("plane", "train")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.jpg", "root/cat/2.jpg", "root/owl/3.jpg")
    (tmp_path / "root" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "owl" / "back").symlink_to(tmp_path / "root" / "owl")
    names = [file.name for file in read_layout(tmp_path / "root").files]
    assert names == ["cat/2.jpg", "cat/more/1.jpg", "owl/3.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "dataset.imageFolder must hold one folder per class but holds none"),
        (["1.jpg"], "dataset.imageFolder must hold one folder per class but holds none"),
        (["train/", "val/"], "train of dataset.imageFolder must hold one folder per class"),
        (["a/1.jpg", "b/"], "class b of split train must have images but its folder holds none"),
        (["a/1.jpg", "b/1.txt"], "class b of split train must have images"),
        (
            ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/"],
            "class b of split validation must have images",
        ),
        (
            ["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg"],
            "split test must have the classes of train but lacks class b",
        ),
        (
            ["train/a/1.jpg", "test/a/1.jpg", "test/c/1.jpg"],
            "split test must have the classes of train but also has class c",
        ),
        (["train/a/1.jpg", "test/"], "split test must have the classes of train but lacks class a"),
        (["val/a/1.jpg", "test/a/1.jpg"], "must hold train beside test, val but holds none"),
        (["train/a/1.jpg", "extra/1.jpg"], "or class folders only, but holds extra, train"),
        (
            ["train/a/1.jpg", "val/a/1.jpg", "validation/a/1.jpg"],
            "at most one each of val or validation and test",
        ),
    ],
)
def test_f64_a_layout_that_does_not_fit_is_named(
    tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(DatasetInvalidError, match=message):
        read_layout(touch(tmp_path, *names))


def test_f62_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match="gone cannot be read: No such file"):
        read_layout(tmp_path / "gone")


def test_f62_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "flowers.zip").write_bytes(b"")
    with pytest.raises(DatasetUnavailableError, match=r"flowers.zip cannot be read: Not a dir"):
        read_layout(tmp_path / "flowers.zip")


@pytest.mark.parametrize("closed", [".", "cat/deep"])
def test_f62_a_folder_without_access_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    touch(tmp_path, "cat/deep/1.jpg", "owl/1.jpg")
    scan = os.scandir

    def guarded(path: str | Path) -> object:
        if Path(path) == tmp_path / closed:  # a privileged user cannot be locked out for real
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DatasetUnavailableError, match="cannot be read: Permission denied"):
        read_layout(tmp_path)
