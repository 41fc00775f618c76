"""Given weights are safetensors of this network, or nothing of them is used."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from canary import Canary
from image_data import make_bundle
from s3_server import Bucket, bucket, s3_server
from trimtab_api.v1alpha1.model import Model, Weights
from trimtab_trainer.errors import CheckpointRefusedError, UserError
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.image_input import ImageModel
from trimtab_trainer.models.weights import load_weights

__all__ = ["bucket", "s3_server"]


def build(folder: Path, **weights: str) -> ImageModel:
    model = Model.model_validate(
        {"builtin": "mlp", "weights": {"uri": "pvc://models/net.safetensors", **weights}}
    )
    built = build_model(model, data=make_bundle(), image_size=None, code_dir=None, data_root=folder)
    assert isinstance(built, ImageModel)
    return built


def put(folder: Path, content: bytes) -> str:
    (folder / "models").mkdir()
    (folder / "models" / "net.safetensors").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def random_state() -> dict[str, torch.Tensor]:
    model = build_model(
        Model(builtin="mlp"),
        data=make_bundle(),
        image_size=None,
        code_dir=None,
        data_root=Path("unused"),
    )
    assert isinstance(model, ImageModel)
    return dict(model.network.state_dict())


def test_weights_replace_the_random_ones(tmp_path: Path) -> None:
    state = random_state()
    sha256 = put(tmp_path, save(state))
    for name, tensor in build(tmp_path, sha256=sha256).network.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_another_file_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    put(tmp_path, save(random_state()))
    with pytest.raises(CheckpointRefusedError, match=f"must have sha256 {'0' * 64}"):
        build(tmp_path, sha256="0" * 64)


def test_f60_a_pickle_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    put(tmp_path, canary.content)
    with pytest.raises(CheckpointRefusedError, match="must be a safetensors file"):
        build(tmp_path)
    canary.check()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pvc://models/net.safetensors must be a file"):
        build(tmp_path)


def test_another_networks_weights_are_named(tmp_path: Path) -> None:
    state = random_state()
    del state["head.bias"]
    put(tmp_path, save({**state, "tail": torch.ones(1)}))
    with pytest.raises(UserError, match=r"lacks 1 \['head.bias'\] and has 1 others \['tail'\]"):
        build(tmp_path)


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    put(tmp_path, save({**random_state(), "head.bias": torch.ones(9)}))
    with pytest.raises(UserError, match=r"head.bias of .* must have shape \(4,\) but has \(9,\)"):
        build(tmp_path)


def test_weights_come_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    state = random_state()
    bucket.put("models/net.safetensors", save(state))
    model = Model.model_validate(
        {"builtin": "mlp", "weights": {"uri": f"s3://{bucket.name}/models/net.safetensors"}}
    )
    built = build_model(
        model,
        data=make_bundle(),
        image_size=None,
        code_dir=None,
        data_root=tmp_path,
        downloads=tmp_path,
    )
    assert isinstance(built, ImageModel)
    assert all(torch.equal(state[name], own) for name, own in built.network.state_dict().items())


def test_f61_keys_that_a_store_refuses_are_the_users_error(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_MODEL_AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("TRIMTAB_MODEL_AWS_SECRET_ACCESS_KEY", "wrong")
    endpoint = bucket.server.access.endpoint or ""
    monkeypatch.setenv("TRIMTAB_MODEL_AWS_ENDPOINT_URL", endpoint)
    network = torch.nn.Linear(1, 1)
    weights = Weights(uri=f"s3://{bucket.name}/net.safetensors")
    with pytest.raises(UserError, match="SignatureDoesNotMatch"):
        load_weights(network, weights, data_root=tmp_path, downloads=tmp_path)
