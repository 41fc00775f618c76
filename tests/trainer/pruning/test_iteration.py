"""Steps follow each other while the budget holds; the step that breaks it is undone."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from traced_groups import trace_each_network_once
from trimtab_api.v1alpha1.prune import Allocation, Curve, Granularity, Importance
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.models.profile import measure_sparsity
from trimtab_trainer.pruning.amounts import Amount, AmountKind, Counters
from trimtab_trainer.pruning.cuts import replay_cuts
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.iteration import (
    LayerOutcome,
    PrunedModel,
    PruneTools,
    StepResult,
    prune_iteratively,
)
from trimtab_trainer.pruning.sensitivity import LayerScanned, Reading

MakeNetwork = Callable[[str], nn.Module]
Event = str | LayerScanned | StepResult

EVERY_GRANULARITY = [Granularity.WEIGHTS, Granularity.STRUCTURES]
HALF = Amount(AmountKind.RATIO, 0.5)
INPUTS = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True)
def _trace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trace_each_network_once(monkeypatch)


def count_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def make_tools(accuracies: Sequence[float], *, diverges_in: int | None = None) -> PruneTools[str]:
    """Return a fine-tuning that shifts all weights and yields one event a step."""
    remaining = iter(accuracies)

    def finetune(model: nn.Module, step: int, hold: Callable[[], None]) -> Iterator[str]:
        for parameter in model.parameters():
            parameter.data.add_(0.01)
        hold()
        yield f"epoch of step {step}"
        if step == diverges_in:
            raise DivergedError("the loss is nan")

    return PruneTools(
        counters=Counters(params=count_params, flops=count_params),
        losses=lambda model: [model(INPUTS).square().mean()],
        probe=lambda model: Reading(0.0, model(INPUTS).square().mean().item()),
        finetune=finetune,
        evaluate=lambda _: {"accuracy": next(remaining)},
        is_within_budget=lambda metrics: metrics["accuracy"] >= 0.9,
    )


def run(
    network: nn.Module,
    example: torch.Tensor,
    settings: PruneSettings,
    tools: PruneTools[str],
    *,
    steps: int = 3,
    amount: Amount = HALF,
) -> tuple[list[Event], PrunedModel]:
    generator = prune_iteratively(
        network,
        example=example,
        amount=amount,
        steps=steps,
        curve=Curve.LINEAR,
        scan_ratios=(0.25, 0.75),
        settings=settings,
        tools=tools,
    )
    yielded = []
    while True:
        try:
            yielded.append(next(generator))
        except StopIteration as stop:
            return yielded, stop.value


def results_of(yielded: Sequence[Event]) -> list[StepResult]:
    return [item for item in yielded if isinstance(item, StepResult)]


@pytest.fixture(params=EVERY_GRANULARITY)
def each_settings(request: pytest.FixtureRequest, settings: PruneSettings) -> PruneSettings:
    return dataclasses.replace(settings, granularity=request.param)


def test_events_of_fine_tuning_come_before_the_result_of_their_step(
    make_network: MakeNetwork, example: torch.Tensor, each_settings: PruneSettings
) -> None:
    yielded, _ = run(make_network("plain"), example, each_settings, make_tools([1, 1, 1]))

    assert [item.step if isinstance(item, StepResult) else item for item in yielded] == [
        "epoch of step 1",
        1,
        "epoch of step 2",
        2,
        "epoch of step 3",
        3,
    ]


def test_each_step_cuts_further_and_the_last_one_is_returned(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    yielded, pruned = run(make_network("plain"), example, settings, make_tools([1, 1, 1]))

    results = results_of(yielded)
    params = [result.params for result in results]
    assert params == sorted(set(params), reverse=True)
    assert [result.ratio for result in results] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert (pruned.step, count_params(pruned.model), pruned.cuts) == (
        3,
        params[-1],
        results[-1].cuts,
    )
    assert pruned.layers == (
        LayerOutcome("0", Granularity.FILTERS, 16, 8),
        LayerOutcome("3", Granularity.FILTERS, 32, 16),
    )


def test_each_step_masks_more_and_zeros_outlast_fine_tuning(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    masking = dataclasses.replace(settings, granularity=Granularity.WEIGHTS)
    dense = make_network("plain")
    yielded, pruned = run(dense, example, masking, make_tools([1, 1, 1]))

    results = results_of(yielded)
    assert [result.ratio for result in results] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert [result.params for result in results] == [count_params(dense)] * 3
    sparsities = [result.sparsity for result in results]
    assert sparsities == sorted(sparsities)
    assert measure_sparsity(pruned.model) == sparsities[-1] > 0.45
    assert pruned.cuts == ()
    assert pruned.model.state_dict().keys() == dense.state_dict().keys()
    assert pruned.layers[0] == LayerOutcome("0", Granularity.WEIGHTS, 144, 72)


def test_step_outside_the_budget_is_undone_and_none_follows(
    make_network: MakeNetwork, example: torch.Tensor, each_settings: PruneSettings
) -> None:
    yielded, pruned = run(make_network("plain"), example, each_settings, make_tools([1, 0.5, 1]))

    results = results_of(yielded)
    assert [(result.step, result.kept) for result in results] == [(1, True), (2, False)]
    assert (pruned.step, count_params(pruned.model)) == (1, results[0].params)
    assert measure_sparsity(pruned.model) == results[0].sparsity
    assert pruned.cuts == results[0].cuts


def test_step_whose_fine_tuning_diverges_is_undone_without_metrics(
    make_network: MakeNetwork, example: torch.Tensor, each_settings: PruneSettings
) -> None:
    tools = make_tools([1, 1, 1], diverges_in=2)
    yielded, pruned = run(make_network("plain"), example, each_settings, tools)

    assert [(result.kept, dict(result.metrics)) for result in results_of(yielded)] == [
        (True, {"accuracy": 1}),
        (False, {}),
    ]
    assert pruned.step == 1


def test_dense_model_is_returned_when_the_first_step_is_undone(
    make_network: MakeNetwork, example: torch.Tensor, each_settings: PruneSettings
) -> None:
    dense = make_network("plain")
    _, pruned = run(dense, example, each_settings, make_tools([0.5]))

    assert (pruned.step, pruned.cuts) == (0, ())
    assert pruned.model is not dense
    assert all(layer.before == layer.after for layer in pruned.layers)
    torch.testing.assert_close(pruned.model.state_dict(), dense.state_dict(), rtol=0, atol=0)


def test_dense_model_is_left_as_it_is(
    make_network: MakeNetwork, example: torch.Tensor, each_settings: PruneSettings
) -> None:
    dense = make_network("residual")
    before = copy.deepcopy(dense.state_dict())
    run(dense, example, each_settings, make_tools([1, 1, 1]))

    torch.testing.assert_close(dense.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["concat", "grouped", "attention"])
def test_cuts_of_several_steps_rebuild_the_final_model(
    make_network: MakeNetwork, name: str, example: torch.Tensor, settings: PruneSettings
) -> None:
    _, pruned = run(make_network(name), example, settings, make_tools([1, 1, 1]))

    rebuilt = make_network(name)
    replay_cuts(rebuilt, pruned.cuts)
    rebuilt.load_state_dict(pruned.model.state_dict())

    torch.testing.assert_close(
        rebuilt.eval()(example), pruned.model.eval()(example), rtol=0, atol=0
    )


def test_step_without_anything_to_cut_is_passed_over(
    make_network: MakeNetwork, example: torch.Tensor, settings: PruneSettings
) -> None:
    coarse = dataclasses.replace(settings, round_to=8)
    yielded, _ = run(make_network("plain"), example, coarse, make_tools([1] * 8), steps=8)

    # Widths of 16 and 32 in multiples of 8 change at ratios of 1/8, 1/4, 3/8 and 1/2.
    assert [result.step for result in results_of(yielded)] == [3, 5, 7]


@pytest.mark.parametrize("importance", Importance)
@pytest.mark.parametrize("allocation", [Allocation.GLOBAL, Allocation.SENSITIVITY])
def test_every_measure_reaches_the_amount_with_every_allocation(
    make_network: MakeNetwork,
    example: torch.Tensor,
    each_settings: PruneSettings,
    importance: Importance,
    allocation: Allocation,
) -> None:
    chosen = dataclasses.replace(each_settings, importance=importance, allocation=allocation)
    yielded, pruned = run(make_network("plain"), example, chosen, make_tools([1]), steps=1)

    scanned = [item.curve.layer for item in yielded if isinstance(item, LayerScanned)]
    assert scanned == (["0", "3"] if allocation is Allocation.SENSITIVITY else [])
    left = sum(layer.after for layer in pruned.layers)
    assert left / sum(layer.before for layer in pruned.layers) == pytest.approx(0.5, abs=0.01)


def test_sensitivity_spares_the_vital_layer_and_loses_less_than_uniform(
    settings: PruneSettings,
) -> None:
    network, inputs, targets = make_uneven_network()

    def loss_of(model: nn.Module) -> float:
        with torch.no_grad():
            return float(functional.mse_loss(model(inputs), targets))

    def nothing(model: nn.Module, step: int, hold: Callable[[], None]) -> Iterator[str]:
        return iter(())

    tools = dataclasses.replace(
        make_tools([]),
        probe=lambda model: Reading(loss_of(model), loss_of(model)),
        finetune=nothing,
        evaluate=lambda model: {"loss": loss_of(model)},
        is_within_budget=lambda metrics: True,
    )
    amount = Amount(AmountKind.PARAMS_REDUCTION, 0.3)
    pruned = {
        allocation: run(
            network,
            inputs,
            dataclasses.replace(settings, allocation=allocation),
            tools,
            amount=amount,
        )[1]
        for allocation in (Allocation.UNIFORM, Allocation.SENSITIVITY)
    }

    layers = {layer.layer: layer for layer in pruned[Allocation.SENSITIVITY].layers}
    assert layers["vital"].after == layers["vital"].before
    assert layers["useless"].after < layers["useless"].before
    losses = {allocation: loss_of(result.model) for allocation, result in pruned.items()}
    assert losses[Allocation.SENSITIVITY] < 0.01 < losses[Allocation.UNIFORM]
    assert [count_params(result.model) for result in pruned.values()] == pytest.approx(
        [0.7 * count_params(network)] * 2, rel=0.05
    )


def make_uneven_network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Return two hidden layers side by side, of which one alone makes the output, and samples."""

    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vital = nn.Linear(8, 16)
            self.useless = nn.Linear(8, 16)
            self.read_vital = nn.Linear(16, 4)
            self.read_useless = nn.Linear(16, 4)

        @override
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            read: torch.Tensor = self.read_vital(self.vital(inputs).relu())
            return read.add(self.read_useless(self.useless(inputs).relu()))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, inputs = Uneven(), torch.randn(64, 8)
    network.vital.weight.data.mul_(2)
    network.read_useless.weight.data.mul_(0.01)
    with torch.no_grad():
        return network, inputs, network(inputs)
