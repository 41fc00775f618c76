"""Normalization, channel expansion and resizing happen inside the model."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trimtab_trainer.data._base import ImageFormat
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.image_input import ImageModel

RGB = ImageFormat(3, 4, 4, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
GRAY = ImageFormat(1, 4, 4, mean=(0.5,), std=(0.25,))


def test_channels_are_normalized_one_by_one() -> None:
    images = torch.rand(2, 3, 4, 4)
    outputs = ImageModel(nn.Identity(), image=RGB, channels=3, size=None)(images)
    for channel, (mean, std) in enumerate(zip(RGB.mean, RGB.std, strict=True)):
        torch.testing.assert_close(outputs[:, channel], (images[:, channel] - mean) / std)


def test_gray_images_are_repeated_for_a_network_for_colour() -> None:
    images = torch.rand(2, 1, 4, 4)
    outputs = ImageModel(nn.Identity(), image=GRAY, channels=3, size=None)(images)
    torch.testing.assert_close(outputs, ((images - 0.5) / 0.25).repeat(1, 3, 1, 1))


def test_gray_images_may_have_a_normalization_for_colour() -> None:
    image = ImageFormat(1, 4, 4, mean=RGB.mean, std=RGB.std)
    outputs = ImageModel(nn.Identity(), image=image, channels=3, size=None)(torch.zeros(1, 1, 4, 4))
    torch.testing.assert_close(outputs[0, :, 0, 0], -torch.tensor(RGB.mean) / torch.tensor(RGB.std))


def test_images_are_resized_bilinearly() -> None:
    images = torch.rand(2, 1, 4, 4)
    outputs = ImageModel(nn.Identity(), image=GRAY, channels=1, size=9)(images)
    resized = functional.interpolate(images, size=(9, 9), mode="bilinear", align_corners=False)
    torch.testing.assert_close(outputs, (resized - 0.5) / 0.25)


def test_a_checkpoint_holds_the_normalization() -> None:
    model = ImageModel(nn.Linear(1, 1), image=RGB, channels=3, size=None)
    assert set(model.state_dict()) == {"mean", "std", "network.weight", "network.bias"}
    torch.testing.assert_close(model.state_dict()["std"].flatten(), torch.tensor(RGB.std))


def test_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="takes 4 channels but the images have 3"):
        ImageModel(nn.Identity(), image=RGB, channels=4, size=None)
    image = ImageFormat(1, 4, 4, mean=RGB.mean, std=RGB.std)
    with pytest.raises(UserError, match="must have 1 entries for mean and std but has 3"):
        ImageModel(nn.Identity(), image=image, channels=1, size=None)
