"""A model is built for the data: around images by the built-in input, else as the user has it."""

from pathlib import Path

import pytest
import torch

from image_data import make_bundle
from trimtab_api.v1alpha1.model import Dataset, Model
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.image_input import ImageModel
from user_modules import write_module

NETS = """
from torch import nn
def build(width=4): return nn.Sequential(nn.Flatten(), nn.LazyLinear(width))
def raises(): return nn.Linear(2, 'x')
def nothing(): pass
value = 3
"""


def vectors(folder: Path) -> DataBundle:
    name = write_module(
        folder,
        """
        import torch
        from torch.utils.data import TensorDataset
        def build(): return {"train": TensorDataset(torch.rand(40, 6), torch.arange(40) % 3)}
        """,
    )
    dataset = Dataset(entrypoint=f"{name}:build")
    return load_dataset(dataset, seed=0, code_dir=folder, data_root=folder)


def build(
    model: Model, data: DataBundle, folder: Path, image_size: int | None = None
) -> torch.nn.Module:
    return build_model(model, data=data, image_size=image_size, code_dir=folder, data_root=folder)


def watch_size(model: torch.nn.Module) -> list[tuple[int, ...]]:
    """Return the sizes that the network will be given, as they come."""
    seen: list[tuple[int, ...]] = []
    assert isinstance(model, ImageModel)
    model.network.register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:]))
    )
    return seen


@pytest.mark.parametrize("image_size", [None, 12])
@pytest.mark.parametrize("name", ["mlp", "small-cnn"])
def test_builtin_networks_take_decoded_images(
    tmp_path: Path, name: str, image_size: int | None
) -> None:
    data = make_bundle()
    model = build(Model(builtin=name), data, tmp_path, image_size).eval()
    assert isinstance(model, ImageModel)
    images, _ = data.train.batch(torch.arange(3))
    assert model(images).shape == (3, 4)


def test_images_that_are_too_small_are_enlarged_inside_the_model(tmp_path: Path) -> None:
    data = make_bundle()
    model = build(Model(builtin="torchvision/squeezenet1_1"), data, tmp_path).eval()
    seen = watch_size(model)
    images, _ = data.train.batch(torch.arange(2))
    assert model(images).shape == (2, 4)
    assert seen == [(17, 17)]


def test_images_that_fit_keep_their_size(tmp_path: Path) -> None:
    data = make_bundle(size=20)
    model = build(Model(builtin="torchvision/squeezenet1_1"), data, tmp_path).eval()
    seen = watch_size(model)
    model(data.train.batch(torch.arange(2))[0])
    assert seen == [(20, 20)]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("squeezenet1_1", 16, "must be at least 17 for torchvision/squeezenet1_1 but is 16"),
        ("vit_b_16", 30, "must be at least 16 and a multiple of 16 for .*/vit_b_16 but is 30"),
    ],
)
def test_f65_a_size_that_the_network_does_not_take_is_named(
    tmp_path: Path, name: str, size: int, message: str
) -> None:
    with pytest.raises(UserError, match=f"dataset.imageSize {message}"):
        build(Model(builtin=f"torchvision/{name}"), make_bundle(), tmp_path, size)


def test_f65_tensors_of_a_size_that_the_network_does_not_take_are_named(tmp_path: Path) -> None:
    message = "size that torchvision/vgg11 takes, such as 32×32, but have 1×1"
    with pytest.raises(UserError, match=message):
        build(Model(builtin="torchvision/vgg11"), vectors(tmp_path), tmp_path)


def test_a_users_network_gets_normalized_images(tmp_path: Path) -> None:
    name = write_module(tmp_path, "from torch import nn\ndef build(): return nn.Identity()")
    data = make_bundle()
    model = build(Model(entrypoint=f"{name}:build"), data, tmp_path)
    images, _ = data.train.batch(torch.arange(len(data.train)))
    assert float(model(images).mean()) == pytest.approx(0, abs=1e-5)
    assert float(model(images).std()) == pytest.approx(1, abs=1e-3)


def test_a_users_network_on_a_users_data_is_left_alone(tmp_path: Path) -> None:
    name = write_module(tmp_path, NETS)
    model = build(Model(entrypoint=f"{name}:build", args={"width": 5}), vectors(tmp_path), tmp_path)
    assert isinstance(model, torch.nn.Sequential)
    assert model(torch.rand(2, 6)).shape == (2, 5)


def test_an_mlp_is_built_for_the_features_of_a_users_data(tmp_path: Path) -> None:
    model = build(Model(builtin="mlp"), vectors(tmp_path), tmp_path)
    assert model(torch.rand(2, 6)).shape == (2, 3)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("raises", r"raised TypeError: .* \(user_module_\d+\.py:4 raises\)"),
        ("nothing", "must return a torch.nn.Module but returned NoneType"),
        ("value", "must be callable but is int"),
        ("missing", "has no attribute 'missing'"),
    ],
)
def test_f65_an_entry_point_that_gives_no_network_is_a_user_error(
    tmp_path: Path, attribute: str, message: str
) -> None:
    name = write_module(tmp_path, NETS)
    with pytest.raises(UserError, match=message) as caught:
        build(Model(entrypoint=f"{name}:{attribute}"), make_bundle(), tmp_path)
    assert len(str(caught.value)) <= 256
