"""A checkpoint is the one that was saved, or it is refused before anything is loaded."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from canary import Canary
from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.training.checkpoint import load_checkpoint, read_digest, save_checkpoint

METADATA = {"trial": "3", "seed": "7", "dataset": "abc"}


def make_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))


def test_weights_buffers_and_metadata_come_back(tmp_path: Path) -> None:
    model = make_model()
    info = save_checkpoint(tmp_path / "final", model, metadata=METADATA)
    state, metadata = load_checkpoint(tmp_path / "final")
    assert metadata == METADATA
    assert set(state) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor)
        assert state[name].dtype == tensor.dtype
    assert info.sha256 == hashlib.sha256(info.path.read_bytes()).hexdigest()


def test_the_digest_is_read_from_the_manifest_alone(tmp_path: Path) -> None:
    info = save_checkpoint(tmp_path, make_model(), metadata=METADATA)
    info.path.unlink()
    assert read_digest(tmp_path) == info.sha256


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    model = make_model()
    hashes = {
        save_checkpoint(tmp_path / str(number), model, metadata=METADATA).sha256
        for number in range(5)
    }
    assert len(hashes) == 1


def test_tied_weights_and_other_memory_layouts_are_saved(tmp_path: Path) -> None:
    model = nn.ModuleList([nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)])
    model[1].weight = model[0].weight
    model.to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path, model, metadata={})
    state, _ = load_checkpoint(tmp_path)
    assert torch.equal(state["0.weight"], state["1.weight"])
    model.load_state_dict(state)


def test_a_newer_checkpoint_replaces_the_older(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make_model(), metadata={"epoch": "1"})
    newer = make_model()
    save_checkpoint(tmp_path, newer, metadata={"epoch": "2"})
    state, metadata = load_checkpoint(tmp_path)
    assert metadata == {"epoch": "2"}
    assert torch.equal(state["0.weight"], newer.state_dict()["0.weight"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        "model.safetensors",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_f59_a_flipped_bit_or_a_cut_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    info = save_checkpoint(tmp_path, make_model(), metadata=METADATA)
    content = bytearray(info.path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), label="flip"):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[position:]
    info.path.write_bytes(content)
    with pytest.raises(CheckpointRefusedError, match="must have sha256"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "must hold the hash of a checkpoint"),
        ("{", "must be a JSON file"),
        ("[1]", "must hold the hash of a checkpoint"),
        ("{}", "must hold the hash of a checkpoint"),
    ],
    ids=["missing", "torn", "list", "empty"],
)
def test_f59_a_checkpoint_without_a_good_manifest_is_refused(
    tmp_path: Path, manifest: str | None, message: str
) -> None:
    save_checkpoint(tmp_path, make_model(), metadata={})
    path = tmp_path / "manifest.json"
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(CheckpointRefusedError, match=message):
        load_checkpoint(tmp_path)


def test_f60_a_pickle_with_a_matching_hash_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    content = canary.content
    (tmp_path / "model.safetensors").write_bytes(content)
    manifest = {"file": "model.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointRefusedError, match="must be a safetensors file"):
        load_checkpoint(tmp_path)
    canary.check()


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make_model(), metadata={}).path.unlink()
    with pytest.raises(CheckpointRefusedError, match="cannot be read: No such file"):
        load_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, make_model(), metadata={"epoch": "1"})

    def refuse(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, make_model(), metadata={"epoch": "2"})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path)[1] == {"epoch": "1"}
