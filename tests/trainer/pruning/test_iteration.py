"""Steps follow each other while the budget holds; the step that breaks it is undone."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Curve
from trimtab_trainer.pruning.budget import Amount, AmountKind, Counters
from trimtab_trainer.pruning.cuts import replay_cuts
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.iteration import PrunedModel, StepResult, prune_iteratively


def count_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def run(
    network: nn.Module,
    example: torch.Tensor,
    settings: PruneSettings,
    *,
    accuracies: Sequence[float],
    steps: int = 3,
    ratio: float = 0.5,
) -> tuple[list[str | StepResult], PrunedModel]:
    """Prune with a fine-tuning that shifts all weights and yields one event a step."""
    remaining = iter(accuracies)

    def finetune(model: nn.Module, step: int) -> Iterator[str]:
        for parameter in model.parameters():
            parameter.data.add_(0.01)
        yield f"epoch of step {step}"

    generator = prune_iteratively(
        network,
        example=example,
        amount=Amount(AmountKind.RATIO, ratio),
        steps=steps,
        curve=Curve.LINEAR,
        settings=settings,
        counters=Counters(params=count_params, flops=count_params),
        finetune=finetune,
        evaluate=lambda _: {"accuracy": next(remaining)},
        is_within_budget=lambda metrics: metrics["accuracy"] >= 0.9,
    )
    yielded = []
    while True:
        try:
            yielded.append(next(generator))
        except StopIteration as stop:
            return yielded, stop.value


def results_of(yielded: Sequence[object]) -> list[StepResult]:
    return [item for item in yielded if isinstance(item, StepResult)]


def test_events_of_fine_tuning_come_before_the_result_of_their_step(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    yielded, _ = run(make_network("plain"), example, settings, accuracies=[1, 1, 1])

    assert [item if isinstance(item, str) else item.step for item in yielded] == [
        "epoch of step 1",
        1,
        "epoch of step 2",
        2,
        "epoch of step 3",
        3,
    ]


def test_each_step_cuts_further_and_the_last_one_is_returned(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    yielded, pruned = run(make_network("plain"), example, settings, accuracies=[1, 1, 1])

    results = results_of(yielded)
    params = [result.params for result in results]
    assert params == sorted(set(params), reverse=True)
    assert [result.ratio for result in results] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert (pruned.step, count_params(pruned.model), pruned.cuts) == (
        3,
        params[-1],
        results[-1].cuts,
    )


def test_step_outside_the_budget_is_undone_and_none_follows(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    yielded, pruned = run(make_network("plain"), example, settings, accuracies=[1, 0.5, 1])

    results = results_of(yielded)
    assert [(result.step, result.kept) for result in results] == [(1, True), (2, False)]
    assert (pruned.step, count_params(pruned.model)) == (1, results[0].params)
    assert pruned.cuts == results[0].cuts


def test_dense_model_is_returned_when_the_first_step_is_undone(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    dense = make_network("plain")
    _, pruned = run(dense, example, settings, accuracies=[0.5])

    assert (pruned.step, pruned.cuts) == (0, ())
    torch.testing.assert_close(pruned.model.state_dict(), dense.state_dict(), rtol=0, atol=0)


def test_dense_model_is_left_as_it_is(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    dense = make_network("residual")
    before = copy.deepcopy(dense.state_dict())
    run(dense, example, settings, accuracies=[1, 1, 1])

    torch.testing.assert_close(dense.state_dict(), before, rtol=0, atol=0)


def test_cuts_of_several_steps_rebuild_the_final_model(
    make_network: Callable[[str], nn.Module],
    network_name: str,
    example: torch.Tensor,
    settings: PruneSettings,
) -> None:
    _, pruned = run(make_network(network_name), example, settings, accuracies=[1, 1, 1])

    rebuilt = make_network(network_name)
    replay_cuts(rebuilt, pruned.cuts)
    rebuilt.load_state_dict(pruned.model.state_dict())

    torch.testing.assert_close(
        rebuilt.eval()(example), pruned.model.eval()(example), rtol=0, atol=0
    )


def test_step_without_anything_to_cut_is_passed_over(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    coarse = dataclasses.replace(settings, round_to=8)
    yielded, _ = run(make_network("plain"), example, coarse, accuracies=[1] * 8, steps=8)

    # Widths of 16 and 32 in multiples of 8 change at ratios of 1/8, 1/4, 3/8 and 1/2.
    assert [result.step for result in results_of(yielded)] == [3, 5, 7]
