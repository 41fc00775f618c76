"""Crops of the photographs are named by seed and place, and the network with real weights takes them."""

import torch

from bench.photographs import PHOTOGRAPHS, cut_out, draw_crops


def test_the_same_seed_draws_the_same_crops_and_another_seed_others() -> None:
    assert draw_crops(20, seed=1) == draw_crops(20, seed=1)
    assert draw_crops(20, seed=1) != draw_crops(20, seed=2)


def test_crops_lie_inside_both_photographs() -> None:
    crops = draw_crops(200, seed=3)
    assert {crop.photograph for crop in crops} == set(PHOTOGRAPHS)
    assert all(crop.top >= 0 and crop.top + crop.side <= 427 for crop in crops)
    assert all(crop.left >= 0 and crop.left + crop.side <= 640 for crop in crops)
    assert len({crop.side for crop in crops}) > 50


def test_crops_become_images_of_the_networks_size() -> None:
    images = cut_out(draw_crops(3, seed=1))
    assert images.shape == (3, 3, 224, 224)
    assert images.dtype is torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert not torch.equal(images[0], images[2])
