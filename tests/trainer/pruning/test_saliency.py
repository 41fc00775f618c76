"""Estimated loss changes equal derivatives by hand, and rank units as their removal does."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional

from trimtab_trainer.errors import DivergedError
from trimtab_trainer.pruning.cuts import replay_cuts
from trimtab_trainer.pruning.cutter import plan_cuts
from trimtab_trainer.pruning.groups import ChannelGroup, GroupKind, Member
from trimtab_trainer.pruning.saliency import measure_unit_saliency, measure_weight_saliency

FindGroups = Callable[[str], tuple[ChannelGroup, ...]]


def group_hidden(width: int) -> ChannelGroup:
    """Return the units between the layers `0` and `2` of two fully connected ones."""
    every = tuple(range(width))
    sides = [("0.weight", 0), ("0.bias", 0), ("2.weight", 1)]
    members = tuple(Member(tensor, dimension, every, every) for tensor, dimension in sides)
    return ChannelGroup("0", GroupKind.NEURONS, width, members, producers=("0",))


def make_mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def losses_of_batches(
    inputs: torch.Tensor, size: int
) -> Callable[[nn.Module], Iterator[torch.Tensor]]:
    return lambda model: (model(batch).square().mean() for batch in torch.split(inputs, size))


def effects_of_units(network: nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    """Return the derivative of the loss by gates on the hidden units."""
    gates = torch.ones(4, requires_grad=True)
    hidden = network[1](network[0](inputs)) * gates
    return torch.autograd.grad(network[2](hidden).square().mean(), gates)[0]


def test_unit_effects_are_derivatives_by_a_gate_on_the_unit() -> None:
    network, inputs = make_mlp(), torch.randn(6, 3)

    saliency = measure_unit_saliency(network, [group_hidden(4)], losses_of_batches(inputs, 2))

    effects = torch.stack([effects_of_units(network, batch) for batch in torch.split(inputs, 2)])
    torch.testing.assert_close(saliency.first["0"], effects.abs().mean(dim=0))
    torch.testing.assert_close(saliency.second["0"], effects.square().mean(dim=0) / 2)


@pytest.mark.parametrize(
    "name",
    ["plain", "flattened", "depthwise", "transposed", "mlp", "concat", "grouped", "gated"],
)
def test_taylor_is_the_change_of_a_loss_that_is_linear_in_the_units(
    make_network: Callable[[str], nn.Module],
    find_network_groups: FindGroups,
    example: torch.Tensor,
    name: str,
) -> None:
    network, groups = make_network(name).eval(), find_network_groups(name)
    last = groups[-1]  # Only the output layer reads it.

    saliency = measure_unit_saliency(network, groups, lambda model: [model(example).sum()])

    scores = {last.root: (torch.arange(last.width) > 0).float()}
    cut = make_network(name).eval()
    replay_cuts(cut, plan_cuts(cut, [last], {last.root: last.width - 1}, scores))
    change = (cut(example).sum() - network(example).sum()).abs()
    torch.testing.assert_close(saliency.first[last.root][0], change.detach(), rtol=1e-3, atol=1e-5)


def test_unit_that_several_layers_read_counts_once_with_all_of_them(
    make_network: Callable[[str], nn.Module],
    find_network_groups: FindGroups,
    example: torch.Tensor,
) -> None:
    network, group = make_network("residual").eval(), find_network_groups("residual")[0]
    loss = network(example).square().mean()
    readers = [network.get_parameter(f"network.{name}.weight") for name in ("conv1", "fc")]
    conv, linear = (
        reader.detach() * gradient
        for reader, gradient in zip(readers, torch.autograd.grad(loss, readers), strict=True)
    )

    saliency = measure_unit_saliency(
        network, [group], lambda model: [model(example).square().mean()]
    )

    expected = (conv.sum(dim=(0, 2, 3)) + linear.sum(dim=0)).abs()
    torch.testing.assert_close(saliency.first[group.root], expected)


def test_taylors_ranks_follow_the_measured_loss_change() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 4))
        targets = torch.arange(400) % 4
        inputs = torch.randn(4, 10)[targets] + torch.randn(400, 10)
    for _ in range(60):
        parameters = list(network.parameters())
        loss = functional.cross_entropy(network(inputs), targets)
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.data.sub_(0.3 * gradient)

    def losses(model: nn.Module) -> Iterator[torch.Tensor]:
        for batch, labels in zip(torch.split(inputs, 8), torch.split(targets, 8), strict=True):
            yield functional.cross_entropy(model(batch), labels)

    saliency = measure_unit_saliency(network, [group_hidden(24)], losses)

    changes = torch.tensor([change_without_unit(network, unit, losses) for unit in range(24)])
    for estimate in (saliency.first["0"], saliency.second["0"]):
        assert rank_correlation(estimate, changes) > 0.8


def change_without_unit(
    network: nn.Sequential, unit: int, losses: Callable[[nn.Module], Iterator[torch.Tensor]]
) -> float:
    column = network.get_parameter("2.weight").data[:, unit]
    held = column.clone()
    before = sum(loss.item() for loss in losses(network))
    column.zero_()
    after = sum(loss.item() for loss in losses(network))
    column.copy_(held)
    return after - before


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return Spearman's coefficient of values without ties."""
    ranks = torch.stack([values.argsort().argsort().double() for values in (first, second)])
    return float(torch.corrcoef(ranks)[0, 1])


def test_weight_effects_are_weight_times_gradient() -> None:
    network, inputs = make_mlp(), torch.randn(4, 3)

    saliency = measure_weight_saliency(network, {"2": "2.weight"}, losses_of_batches(inputs, 2))

    weight = network.get_parameter("2.weight")
    effects = torch.stack(
        [
            (
                torch.autograd.grad(network(batch).square().mean(), weight)[0] * weight.detach()
            ).flatten()
            for batch in torch.split(inputs, 2)
        ]
    )
    torch.testing.assert_close(saliency.first["2"], effects.abs().mean(dim=0))
    torch.testing.assert_close(saliency.second["2"], effects.square().mean(dim=0) / 2)


def test_measuring_leaves_mode_gradients_and_frozen_weights_as_they_were(
    make_network: Callable[[str], nn.Module],
    find_network_groups: FindGroups,
    example: torch.Tensor,
) -> None:
    network = make_network("plain").train()
    network.get_parameter("3.weight").requires_grad = False
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    saliency = measure_unit_saliency(
        network, find_network_groups("plain"), lambda model: [model(example).square().mean()]
    )

    assert saliency.first["0"].count_nonzero() > 0  # Layer 3, which is frozen, reads its units.
    assert network.training
    assert not network.get_parameter("3.weight").requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_loss_that_is_not_finite_is_a_divergence() -> None:
    network = make_mlp()
    network.get_parameter("2.bias").data.fill_(torch.nan)

    with pytest.raises(DivergedError, match="loss of calibration samples is nan"):
        measure_unit_saliency(network, [group_hidden(4)], losses_of_batches(torch.ones(2, 3), 2))


def test_no_losses_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one loss"):
        measure_unit_saliency(make_mlp(), [group_hidden(4)], lambda model: [])
