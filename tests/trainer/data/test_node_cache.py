"""One process makes what a node shares, the others map it, and no broken or full cache fails a job."""

import errno
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from canary import Canary
from trimtab_trainer.data.node_cache import NodeCache, TensorShape
from trimtab_trainer.errors import DatasetInvalidError

IMAGES = torch.arange(200, dtype=torch.uint8).reshape(2, 4, 25)
LABELS = torch.arange(7)


class Source:
    """Makes the same tensors each time and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"images": IMAGES, "labels": LABELS, "none": torch.empty(0, 3, dtype=torch.int64)}


def assert_whole(tensors: Mapping[str, torch.Tensor]) -> None:
    assert set(tensors) == {"images", "labels", "none"}
    assert torch.equal(tensors["images"], IMAGES)
    assert torch.equal(tensors["labels"], LABELS)
    assert tensors["none"].shape == (0, 3)


def test_the_second_finds_what_the_first_made(tmp_path: Path) -> None:
    source = Source()
    assert_whole(NodeCache(tmp_path).tensors("key", source))
    assert_whole(NodeCache(tmp_path).tensors("key", source))
    assert source.calls == 1


@pytest.mark.parametrize("name", ["key.json", "key.tensors"])
def test_f60_a_pickle_of_another_process_is_replaced_and_runs_no_code(
    tmp_path: Path, name: str
) -> None:
    canary, source = Canary(tmp_path / "canary"), Source()
    NodeCache(tmp_path).tensors("key", source)
    (tmp_path / name).write_bytes(canary.content)
    assert_whole(NodeCache(tmp_path).tensors("key", source))
    assert source.calls == 2
    canary.check()


def test_those_who_come_at_once_wait_for_the_first(tmp_path: Path) -> None:
    source = Source()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: NodeCache(tmp_path).tensors("key", source), range(8)))
    assert source.calls == 1
    for tensors in found:
        assert_whole(tensors)


def test_processes_share_the_pages_and_not_what_one_of_them_writes(tmp_path: Path) -> None:
    NodeCache(tmp_path).tensors("key", Source())
    mapped = NodeCache(tmp_path).tensors("key", Source())
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert str(tmp_path / "key.tensors") in maps
    mapped["images"].zero_()
    assert_whole(NodeCache(tmp_path).tensors("key", Source()))


def test_keys_are_kept_apart(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path)
    cache.tensors("one", lambda: {"labels": torch.tensor([1])})
    assert cache.tensors("two", lambda: {"labels": torch.tensor([2])})["labels"].tolist() == [2]
    assert cache.tensors("one", Source())["labels"].tolist() == [1]


def test_a_record_is_made_once(tmp_path: Path) -> None:
    value = {"names": ["cat-\udcff", "löwe"], "sums": [1, 2**60], "rate": 0.1}
    assert NodeCache(tmp_path).record("scan", lambda: value) == value
    assert NodeCache(tmp_path).record("scan", lambda: "other") == value


@settings(max_examples=25, deadline=None)
@given(data=st.data(), name=st.sampled_from(["key.tensors", "key.json"]), cut=st.booleans())
def test_a_changed_or_short_file_is_made_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, cut: bool
) -> None:
    root = tmp_path_factory.mktemp("cache")
    NodeCache(root).tensors("key", Source())
    path = root / name
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if cut:
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert_whole(NodeCache(root).tensors("key", Source()))
    assert_whole(NodeCache(root).tensors("key", Source()))


def test_a_missing_manifest_means_that_the_data_were_never_finished(tmp_path: Path) -> None:
    NodeCache(tmp_path).tensors("key", Source())
    (tmp_path / "key.json").unlink()
    source = Source()
    assert_whole(NodeCache(tmp_path).tensors("key", source))
    assert source.calls == 1


def test_a_full_disk_leaves_the_process_with_its_own_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    cache = NodeCache(tmp_path)
    assert_whole(cache.tensors("key", Source()))
    assert cache.filled("other", {"images": TensorShape("uint8", (9,))}, lambda _: None) is None
    assert len(cache.warnings) == 1
    assert "No space left on device; each process uses its own copy" in cache.warnings[0]
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"}


def test_a_folder_that_cannot_be_made_leaves_the_process_with_its_own_copy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = NodeCache(tmp_path / "file" / "cache")
    assert_whole(cache.tensors("key", Source()))
    assert len(cache.warnings) == 1
    assert "Not a directory" in cache.warnings[0]


def test_tensors_are_filled_where_they_lie(tmp_path: Path) -> None:
    def fill(targets: Mapping[str, torch.Tensor]) -> None:
        targets["images"].copy_(IMAGES)

    layout = {"images": TensorShape("uint8", (2, 4, 25))}
    first = NodeCache(tmp_path).filled("key", layout, fill)
    again = NodeCache(tmp_path).filled("key", layout, lambda targets: targets["images"].zero_())
    assert first is not None
    assert again is not None
    assert torch.equal(first["images"], IMAGES)
    assert torch.equal(again["images"], IMAGES)


def test_an_error_of_the_source_is_raised_and_leaves_nothing(tmp_path: Path) -> None:
    def fail(_: object = None) -> dict[str, torch.Tensor]:
        raise DatasetInvalidError("sample cat.jpg")

    cache = NodeCache(tmp_path)
    with pytest.raises(DatasetInvalidError, match=r"cat\.jpg"):
        cache.tensors("key", fail)
    with pytest.raises(DatasetInvalidError, match=r"cat\.jpg"):
        cache.filled("key", {"images": TensorShape("uint8", (9,))}, fail)
    assert cache.warnings == ()
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".tmp-0123456789ab-key.tensors"
    left.write_bytes(bytes(100))
    NodeCache(tmp_path).tensors("key", Source())
    assert not left.exists()
