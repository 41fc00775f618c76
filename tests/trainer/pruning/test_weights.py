"""Masked weights are zero and stay zero, and nothing but weights of layers is masked."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Granularity, Importance
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.profile import measure_sparsity
from trimtab_trainer.pruning.amounts import AmountKind, Counters
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.weights import MaskedModel, find_weights


@pytest.fixture
def settings(settings: PruneSettings) -> PruneSettings:
    return dataclasses.replace(settings, granularity=Granularity.WEIGHTS)


def no_losses(model: nn.Module) -> list[torch.Tensor]:
    raise AssertionError("magnitudes need no data")


def mask_half(masked: MaskedModel) -> MaskedModel:
    widths = {layer.name: layer.width // 2 for layer in masked.layers}
    return masked.shrink(widths, masked.score(no_losses))


def test_layers_with_weights_but_the_last_may_be_masked(
    make_network: Callable[[str], nn.Module],
    network_name: str,
    example: torch.Tensor,
    settings: PruneSettings,
) -> None:
    network = make_network(network_name)
    masked = find_weights(network, example, settings)

    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.MultiheadAttention)
    expected = [name for name, module in network.named_modules() if isinstance(module, kinds)]
    assert [layer.name for layer in masked.layers] == expected[:-1]
    assert {layer.kind for layer in masked.layers} == {Granularity.WEIGHTS}


def test_smallest_weights_become_zero_and_all_else_stays(
    make_network: Callable[[str], nn.Module],
    network_name: str,
    example: torch.Tensor,
    settings: PruneSettings,
) -> None:
    dense = make_network(network_name)
    before = copy.deepcopy(dense.state_dict())

    masked = find_weights(dense, example, settings)
    halved = mask_half(masked)

    after = halved.model.state_dict()
    for layer in masked.layers:
        old, new = before.pop(masked.tensors[layer.name]), after.pop(masked.tensors[layer.name])
        assert new.count_nonzero() == layer.width // 2 == halved.widths[layer.name]
        torch.testing.assert_close(new[new != 0], old[new != 0], rtol=0, atol=0)
        assert old[new == 0].abs().max() <= new[new != 0].abs().min()
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert list(halved.model.state_dict()) == list(dense.state_dict())


def test_zeros_are_put_back_after_a_step_of_the_optimizer(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    halved = mask_half(find_weights(make_network("plain"), example, settings))
    sparsity = measure_sparsity(halved.model)

    with torch.no_grad():
        for parameter in halved.model.parameters():
            parameter.add_(torch.rand_like(parameter) + 1)
    halved.hold()

    assert measure_sparsity(halved.model) == sparsity > 0.4


def test_what_is_masked_stays_masked_in_the_next_step(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    random = dataclasses.replace(settings, importance=Importance.RANDOM)
    first = mask_half(find_weights(make_network("plain"), example, random))

    second = first.shrink(
        {name: width // 2 for name, width in first.widths.items()}, first.score(no_losses)
    )

    assert all(bool(second.masks[layer][mask].all()) for layer, mask in first.masks.items())
    assert measure_sparsity(second.model) > measure_sparsity(first.model)


def test_equal_scores_are_decided_by_position(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.Linear(2, 2))
    nn.init.constant_(network.get_parameter("1.weight"), 0.5)
    masked = find_weights(network, example, settings)

    mask = masked.shrink({"1": 100}, masked.score(no_losses)).masks["1"].flatten()

    assert mask.nonzero().flatten().tolist() == list(range(28))


@pytest.mark.parametrize("importance", [Importance.TAYLOR, Importance.FISHER])
def test_measures_by_gradients_spare_what_the_loss_needs(
    example: torch.Tensor, settings: PruneSettings, importance: Importance
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.Linear(2, 2, bias=False))
    network.get_parameter("2.weight").data = torch.tensor(
        [[1.0, 0.0], [1.0, 0.0]]
    )  # ignores unit 1
    measured = dataclasses.replace(settings, importance=importance)
    masked = find_weights(network, example, measured)

    scores = masked.score(lambda model: [model(example).square().mean()])
    halved = masked.shrink({"1": 64}, scores)

    assert halved.masks["1"].sum(dim=1).tolist() == [0, 64]


def test_reductions_count_weights_or_parameters(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    masked = find_weights(make_network("plain"), example, settings)
    counters = Counters(params=lambda _: 10_000, flops=lambda _: 1)
    widths = {layer.name: layer.width // 2 for layer in masked.layers}  # of 144 and of 4608

    assert masked.reduction(AmountKind.RATIO, widths, counters) == 0.5
    assert masked.reduction(AmountKind.PARAMS_REDUCTION, widths, counters) == 0.2376
    with pytest.raises(UserError, match="Weights, which saves no FLOPs"):
        masked.reduction(AmountKind.FLOPS_REDUCTION, widths, counters)


def test_ignored_layers_and_fixed_shares_are_taken_from_the_patterns(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    chosen = dataclasses.replace(
        settings, ignore_layers=("stem",), layer_ratios={"conv*": 0.6, "conv2": 0.2}
    )
    masked = find_weights(make_network("residual"), example, chosen)

    assert {layer.name: layer.fixed_share for layer in masked.layers} == {
        "network.conv1": 0.6,
        "network.conv2": 0.2,
    }


def test_pattern_of_fixed_shares_that_hits_no_prunable_layer_is_a_user_error(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    chosen = dataclasses.replace(settings, layer_ratios={"fc": 0.5})
    with pytest.raises(
        UserError, match=r"layerRatios: 'fc' matches no layer .* of stem, conv1, conv2$"
    ):
        find_weights(make_network("residual"), example, chosen)


def test_network_without_weights_but_those_of_its_output_is_a_user_error(
    example: torch.Tensor, settings: PruneSettings
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(UserError, match=r"no weights that can be pruned.*output layer '1'"):
        find_weights(network, example, settings)


def test_network_that_fails_on_the_example_is_a_user_error(
    make_network: Callable[[str], nn.Module], settings: PruneSettings
) -> None:
    with pytest.raises(UserError, match=r"does not run with input shape \(2, 3, 8, 8\)"):
        find_weights(make_network("plain"), torch.zeros(2, 3, 8, 8), settings)
