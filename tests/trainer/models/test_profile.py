"""Parameters and FLOPs are counted as one would by hand."""

import torch
from torch import nn

from trimtab_trainer.models.profile import (
    count_flops,
    count_linear_share,
    count_parameters,
    measure_sparsity,
)


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


def test_the_fused_attention_of_evaluation_is_counted_like_that_of_training() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    tokens, width = 5, 8
    projections = 4 * tokens * width * width + 2 * tokens * width * 16
    products = 2 * tokens * tokens * width
    assert count_flops(layer, torch.rand(1, tokens, width)) == 2 * (projections + products)


def test_the_linear_share_is_what_convolutions_leave() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Flatten(), nn.Linear(12, 1))
    assert count_linear_share(model, torch.rand(2, 1, 2, 2)) == 0.5


def test_sparsity_is_the_share_of_zeros_among_weights_without_biases_and_norms() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 3))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    network.get_parameter("0.weight").data[:2] = 0
    network.get_parameter("0.bias").data.zero_()
    network.get_parameter("1.weight").data.zero_()
    network.get_parameter("2.weight").data[0, :2] = 0

    assert measure_sparsity(network) == 4 / 16


def test_network_without_weights_is_not_sparse() -> None:
    assert measure_sparsity(nn.BatchNorm1d(3)) == 0
