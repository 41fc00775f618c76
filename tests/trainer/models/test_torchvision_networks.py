"""Torchvision's networks are built for the size of the images, and train with one output."""

import re
import warnings

import pytest
import torch

from trimtab_trainer.errors import UserError
from trimtab_trainer.models.torchvision_networks import (
    SizeRule,
    build_torchvision,
    find_size_rule,
)


def build(name: str, size: int, **args: object) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return build_torchvision(name, size=size, num_classes=3, args=args)


def train_and_predict(name: str, size: int, device: str) -> torch.Tensor:
    """Train a step on two images; return the loss and check what is predicted for one."""
    with torch.device(device):
        network = build(name, size)
        images, targets = torch.rand(2, 3, size, size), torch.tensor([0, 2])
        loss = torch.nn.functional.cross_entropy(network(images), targets)
        torch.autograd.backward(loss)
        torch.optim.SGD(network.parameters(), lr=0.01).step()
        with torch.inference_mode():
            assert network.eval()(images[:1]).shape == (1, 3)
    return loss.detach()


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_1"])
def test_a_network_trains_a_step_and_predicts(name: str) -> None:
    torch.manual_seed(0)
    assert bool(train_and_predict(name, 32, "cpu").isfinite())


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet"),
        *("inception_v3", "mnasnet0_5", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5"),
        *("squeezenet1_0", "squeezenet1_1", "swin_t", "vgg11", "vit_b_32"),
    ],
)
def test_the_smallest_size_is_just_large_enough(name: str) -> None:
    size = find_size_rule(f"torchvision/{name}").smallest
    train_and_predict(name, size, "meta")  # shapes alone, since weights would take seconds
    if size > 1:
        with pytest.raises((RuntimeError, UserError)):
            train_and_predict(name, size - 1, "meta")


@pytest.mark.parametrize(
    ("name", "own", "fitted"),
    [
        ("resnet18", 1, 1),
        ("vgg11", 28, 32),
        ("convnext_tiny", 33, 33),
        ("inception_v3", 28, 75),
        ("maxvit_t", 225, 448),
        ("vit_b_16", 28, 32),
        ("vit_h_14", 224, 224),
        ("swin_t", 28, 28),
    ],
)
def test_images_are_enlarged_as_little_as_the_network_needs(
    name: str, own: int, fitted: int
) -> None:
    rule = find_size_rule(f"torchvision/{name}")
    assert rule.fit(own) == fitted
    assert rule.allows(fitted, fitted)


def test_networks_for_one_size_want_squares() -> None:
    assert SizeRule(smallest=2).allows(4, 6)
    assert not SizeRule(smallest=2, square=True).allows(4, 6)
    assert not SizeRule(smallest=4, step=4).allows(4, 6)
    assert find_size_rule("mlp") == SizeRule()


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("googlenet", "aux_logits"),
        ("inception_v3", "init_weights"),
        ("vit_b_16", "image_size"),
        ("maxvit_t", "input_size"),
        ("resnet18", "weights"),
    ],
)
def test_f65_an_argument_that_is_set_already_is_named(name: str, argument: str) -> None:
    text = f"model.args.{argument} must be left out: it is set for {name} already"
    with pytest.raises(UserError, match=re.escape(text)):
        build(name, 224, **{argument: 1})
