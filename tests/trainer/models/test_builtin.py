"""Built-in networks are built by name for the images and classes at hand."""

import pytest
import torch

from trimtab_trainer.data._base import ImageFormat
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.builtin import build_network, network_channels


def image(channels: int, height: int, width: int) -> ImageFormat:
    return ImageFormat(channels, height, width, mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize("name", ["mlp", "small-cnn"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 9, 14)])
def test_small_networks_take_any_size(name: str, shape: tuple[int, int, int]) -> None:
    network = build_network(name, image=image(*shape), num_classes=7, args={}).eval()
    assert network(torch.rand(2, *shape)).shape == (2, 7)


def test_resnet18_takes_colour_at_28_pixels() -> None:
    gray = image(1, 28, 28)
    assert network_channels("torchvision/resnet18", gray) == 3
    network = build_network("torchvision/resnet18", image=gray, num_classes=10, args={}).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 28, 28)).shape == (2, 10)


def test_arguments_set_width_depth_and_classes() -> None:
    args = {"width": 8, "depth": 2, "num_classes": 12}
    network = build_network("small-cnn", image=image(1, 8, 8), num_classes=10, args=args)
    shapes = [tuple(weight.shape) for weight in network.parameters() if weight.ndim > 1]
    assert shapes == [(8, 1, 3, 3), (16, 8, 3, 3), (12, 16)]


def test_arguments_of_torchvision_reach_its_constructor() -> None:
    network = build_network(
        "torchvision/squeezenet1_1", image=image(3, 32, 32), num_classes=4, args={"dropout": 0.25}
    )
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.25]


@pytest.mark.parametrize(
    ("name", "args", "classes", "message"),
    [
        ("resnet18", {}, 10, "must be mlp, small-cnn or torchvision/<name> but got 'resnet18'"),
        ("torchvision/resnet19", {}, 10, "got 'resnet19'; near: .*resnet18"),
        ("torchvision/fcn_resnet50", {}, 10, "must name a classification network"),
        ("torchvision/resnet18", {"wide": 1}, 10, "raised TypeError: .*wide"),
        ("mlp", {"dropout": 1}, 10, "must be num_classes, width, depth but got dropout"),
        ("mlp", {"width": 0}, 10, "model.args.width must be an integer of at least 1 but got 0"),
        ("mlp", {"width": True}, 10, "but got True"),
        ("mlp", {"width": 1.5}, 10, "but got 1.5"),
        ("mlp", {"num_classes": 9}, 10, "num_classes must be an integer of at least 10 but got 9"),
        ("mlp", {}, None, "model.args.num_classes must be set"),
    ],
)
def test_f65_what_cannot_be_built_is_a_user_error(
    name: str, args: dict[str, object], classes: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_network(name, image=image(1, 8, 8), num_classes=classes, args=args)
