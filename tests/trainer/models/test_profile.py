"""Parameters and FLOPs are counted as one would by hand."""

import torch
from torch import nn

from trimtab_trainer.models.profile import count_flops, count_parameters


def test_counts_of_a_convolution_and_a_layer() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5 * 4 * 4, 7)
    )
    assert count_parameters(model) == 2 * 5 * 9 + 2 * 5 + (80 * 7 + 7)
    multiplications = 2 * 5 * 9 * 16 + 80 * 7
    assert count_flops(model, torch.rand(3, 2, 6, 6)) == 2 * multiplications


def test_counting_leaves_mode_and_statistics_alone() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    before = model[1].state_dict()["running_mean"].clone()
    count_flops(model, torch.rand(2, 1, 4, 4))
    assert model.training
    assert torch.equal(model[1].state_dict()["running_mean"], before)
