"""Of an unfinished training's checkpoints the newest whole one is used, and the others refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary import Canary
from trimtab_trainer.training.series import CheckpointSeries
from trimtab_trainer.training.state import TrainingState

FACTS = {"step": 4, "dtype": "fp16", "scaling": {"streak": 0.0}, "history": [{"a": 0.1}]}


def make_state(epoch: int) -> TrainingState:
    tensors = {
        "model.weight": torch.full((3, 2), float(epoch)),
        "optimizer.0.step": torch.tensor(float(epoch)),
        "chance.torch": torch.arange(9, dtype=torch.uint8),
    }
    return TrainingState(epoch, tensors, FACTS)


def make_series(folder: Path, *, keep: int = 2, owner: str = "trial 3") -> CheckpointSeries:
    return CheckpointSeries(folder, keep=keep, owner=owner)


def fill(folder: Path, *epochs: int, **settings: Any) -> CheckpointSeries:
    series = make_series(folder, **settings)
    for epoch in epochs:
        series.save(epoch, make_state(epoch))
    return series


def tensors_of(folder: Path, epoch: int) -> Path:
    (path,) = folder.glob(f"epoch-{epoch:07}.*.safetensors")
    return path


def manifest_of(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:07}.json"


def newest(series: CheckpointSeries) -> tuple[int | None, list[str]]:
    refused: list[str] = []
    state = series.newest(refused.append)
    if state is None:
        return None, refused
    assert torch.equal(state.tensors["model.weight"], torch.full((3, 2), float(state.epoch)))
    return state.epoch, refused


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    saved = make_state(7)
    series = make_series(tmp_path / "new" / "folder")
    series.save(7, saved)
    found = series.newest(pytest.fail)
    assert found is not None
    assert found.epoch == 7
    assert found.facts == saved.facts
    assert found.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert newest(make_series(tmp_path / "missing")) == (None, [])
    assert newest(make_series(tmp_path)) == (None, [])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_few_are_kept_and_nothing_else_of_the_series(tmp_path: Path, keep: int) -> None:
    (tmp_path / "epoch-0000001.txt").write_text("not ours")
    series = fill(tmp_path, 1, 2, 3, 10, keep=keep)
    assert newest(series) == (10, [])
    kept = sorted(int(path.name[6:13]) for path in tmp_path.glob("*.json"))
    assert kept == [1, 2, 3, 10][-keep:]
    assert len(list(tmp_path.iterdir())) == 2 * keep + 1


def test_a_training_begun_anew_ends_the_checkpoints_of_the_old_one(tmp_path: Path) -> None:
    fill(tmp_path, 8, 9, owner="before")
    series = fill(tmp_path, 1)
    assert newest(series) == (1, [])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_epoch_that_is_saved_again_replaces_its_checkpoint(tmp_path: Path) -> None:
    series = fill(tmp_path, 4, 5)
    tensors_of(tmp_path, 5).write_bytes(b"")
    series.save(5, make_state(5))
    assert newest(series) == (5, [])
    assert len(list(tmp_path.iterdir())) == 4


Damage = Callable[[Path], object]


def _set(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def make_folder_of(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Damage, str]] = {
    "tensors gone": (lambda f: tensors_of(f, 2).unlink(), "cannot be read: No such file"),
    "tensors empty": (lambda f: tensors_of(f, 2).write_bytes(b""), "must have sha256"),
    "tensors swapped": (
        lambda f: tensors_of(f, 2).write_bytes(tensors_of(f, 1).read_bytes()),
        "must have sha256",
    ),
    "hash of another": (
        lambda f: _set(manifest_of(f, 2), sha256="0" * 64),
        "cannot be read: No such file",
    ),
    "hash is a path": (
        lambda f: _set(manifest_of(f, 2), sha256="../../../etc/passwd"),
        "must hold owner and sha256",
    ),
    "hash missing": (lambda f: manifest_of(f, 2).write_text("{}"), "must hold owner and sha256"),
    "manifest torn": (lambda f: manifest_of(f, 2).write_text('{"own'), "must be a JSON file"),
    "manifest a list": (lambda f: manifest_of(f, 2).write_text("[]"), "must hold owner and sha"),
    "manifest binary": (lambda f: manifest_of(f, 2).write_bytes(b"\xff\x00"), "must be a JSON"),
    "manifest a folder": (
        lambda f: make_folder_of(manifest_of(f, 2)),
        "must be a JSON file but",
    ),
    "other owner": (
        lambda f: _set(manifest_of(f, 2), owner="trial 4"),
        "must be of trial 3 but is of trial 4",
    ),
    "other epoch": (
        lambda f: (
            tensors_of(f, 1).rename(f / tensors_of(f, 1).name.replace("0000001", "0000002")),
            manifest_of(f, 1).rename(manifest_of(f, 2)),
            fill(f / "again", 1),
            *[path.rename(f / path.name) for path in (f / "again").iterdir()],
        ),
        "must hold a training after epoch 2 but holds epoch 1",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_f59_a_damaged_checkpoint_is_refused_and_the_older_one_used(
    tmp_path: Path, damage: str
) -> None:
    series = fill(tmp_path, 1, 2)
    harm, message = DAMAGES[damage]
    harm(tmp_path)
    epoch, refused = newest(series)
    assert epoch == 1
    (words,) = refused
    assert message in words


def test_f59_when_all_are_refused_there_is_none(tmp_path: Path) -> None:
    series = fill(tmp_path, 1, 2)
    for number in (1, 2):
        tensors_of(tmp_path, number).write_bytes(b"x")
    epoch, refused = newest(series)
    assert epoch is None
    assert len(refused) == 2
    assert "epoch-0000002" in refused[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_f59_no_cut_and_no_flipped_bit_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    series = fill(tmp_path, 1, 2)
    path = data.draw(st.sampled_from([tensors_of(tmp_path, 2), manifest_of(tmp_path, 2)]))
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), label="flip"):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[position:]
    if path.suffix == ".json" and _same_json(bytes(content), path.read_bytes()):
        return  # only the space between words changed
    path.write_bytes(content)
    epoch, refused = newest(series)
    assert epoch == 1
    assert len(refused) == 1


def _same_json(left: bytes, right: bytes) -> bool:
    try:
        return bool(json.loads(left) == json.loads(right))
    except ValueError:
        return False


def test_f59_a_cut_at_every_place_of_the_head_is_refused(tmp_path: Path) -> None:
    series = fill(tmp_path, 1, 2)
    path = tensors_of(tmp_path, 2)
    content = path.read_bytes()
    head = 8 + int.from_bytes(content[:8], "little")
    for length in [*range(0, head, 7), head, len(content) - 1]:
        path.write_bytes(content[:length])
        epoch, refused = newest(series)
        assert (epoch, len(refused)) == (1, 1)


@pytest.mark.parametrize("hash_matches", [True, False])
def test_f60_a_pickle_under_a_checkpoints_name_is_refused_and_runs_nothing(
    tmp_path: Path, hash_matches: bool
) -> None:
    series = fill(tmp_path / "series", 1, 2)
    canary = Canary(tmp_path / "canary")
    content = canary.content
    if hash_matches:
        sha256 = hashlib.sha256(content).hexdigest()
        (tmp_path / "series" / f"epoch-0000002.{sha256[:16]}.safetensors").write_bytes(content)
        _set(manifest_of(tmp_path / "series", 2), sha256=sha256)
    else:
        tensors_of(tmp_path / "series", 2).write_bytes(content)
    epoch, refused = newest(series)
    assert epoch == 1
    assert ("must be a safetensors file" if hash_matches else "must have sha256") in refused[0]
    canary.check()


@pytest.mark.parametrize("writes", [0, 1], ids=["tensors", "manifest"])
def test_f58_a_full_disk_leaves_the_older_checkpoints_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    series = fill(tmp_path, 1, 2)
    before = sorted(path.name for path in tmp_path.iterdir())
    write = Path.write_bytes
    done: list[Path] = []

    def refuse(path: Path, content: bytes) -> int:
        if len(done) == writes:
            write(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        done.append(path)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    for epoch in (2, 3):
        done.clear()
        with pytest.raises(OSError, match="No space left"):
            series.save(epoch, make_state(epoch))
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert newest(series) == (2, [])
    monkeypatch.undo()
    series.save(3, make_state(3))
    assert newest(series) == (3, [])
