"""Work of stage prune: the whole schedule in one slot, beside the loaded data.

Yields each epoch of fine-tuning and each step; leaves a checkpoint whose metadata holds the cuts,
so that the narrow network can be built again.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.prune import Amount as AmountSpec
from trimtab_api.v1alpha1.prune import Prune
from trimtab_trainer.ledger import Ledger
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.pruning.budget import Amount, AmountKind, Counters
from trimtab_trainer.pruning.cuts import render_cuts
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.iteration import StepResult, prune_iteratively
from trimtab_trainer.stages._bench import CUTS_KEY, Bench, make_example
from trimtab_trainer.stages._fit import make_recipe
from trimtab_trainer.storage.patience import StorageTrouble, patiently
from trimtab_trainer.training.checkpoint import save_checkpoint
from trimtab_trainer.training.loop import EpochResult, evaluate, train

__all__ = ["make_amount", "make_settings", "prune_checkpoint"]

PruneEvent = EpochResult | StepResult | StorageTrouble


def make_settings(prune: Prune) -> PruneSettings:
    """Return which channels may go, as an expanded stages.prune says."""
    return PruneSettings(
        importance=prune.importance,
        ignore_layers=prune.ignore_layers,
        max_layer_ratio=prune.max_layer_ratio,
        round_to=prune.round_to or 1,
    )


def make_amount(amount: AmountSpec) -> Amount:
    """Return how much goes, as the pruning package takes it."""
    name = amount.chosen()
    alias = AmountSpec.model_fields[name].alias or name
    return Amount(AmountKind(alias), getattr(amount, name))


@dataclass(frozen=True, slots=True)
class _Finetuning:
    """Training after each step with the recipe of train but for length and rate."""

    bench: Bench
    spec: Spec

    def __call__(self, model: nn.Module, step: int) -> Iterator[EpochResult]:
        train_spec, prune = self.spec.stages.train, self.spec.stages.prune
        if train_spec is None or prune is None or prune.finetune.epochs == 0:
            return iter(())
        recipe = replace(
            make_recipe(self.spec),
            epochs=prune.finetune.epochs,
            steps=None,
            learning_rate=prune.finetune.learning_rate or train_spec.learning_rate,
        )
        # Each step sees the samples in another order than the training and the steps before.
        return train(
            model,
            data=self.bench.data(self.spec),
            task=self.bench.task(self.spec),
            recipe=recipe,
            seed=self.spec.seed + step,
        )


def prune_checkpoint(
    bench: Bench,
    *,
    spec: Spec,
    checkpoint: Path | None,
    folder: Path,
    ledger: Ledger,
    allowance: float | None,
    threads: int,
) -> Generator[PruneEvent, None, int]:
    """Prune the model of a checkpoint inside an allowance; return the last step that was kept.

    Args:
        bench: The slot's.
        spec: Expanded, with stages.prune.
        checkpoint: The dense weights; None = as the manifest gives them.
        folder: Where the pruned checkpoint goes, if any step is kept.
        ledger: The baseline that drops are counted against.
        allowance: Largest drop; None without a budget.
        threads: Threads to compute with.

    Raises:
        UserError: The network cannot be cut as asked.
    """
    torch.set_num_threads(threads)
    prune = spec.stages.prune
    if prune is None or prune.amount is None:
        raise ValueError("only a spec with an expanded stages.prune can be pruned")
    data, task = bench.data(spec), bench.task(spec)
    example = make_example(data).to(bench.device(spec))
    pruned = yield from prune_iteratively(
        bench.stored_model(spec, checkpoint),
        example=example,
        amount=make_amount(prune.amount),
        steps=prune.schedule.steps,
        curve=prune.schedule.curve,
        settings=make_settings(prune),
        counters=Counters(count_parameters, lambda model: count_flops(model, example)),
        finetune=_Finetuning(bench, spec),
        evaluate=lambda model: evaluate(model, data.validation, task),
        is_within_budget=_budget_check(ledger, allowance),
    )
    if pruned.step:
        metadata = {CUTS_KEY: render_cuts(pruned.cuts)}
        yield from patiently(lambda: save_checkpoint(folder, pruned.model, metadata=metadata))
    return pruned.step


def _budget_check(ledger: Ledger, allowance: float | None) -> Callable[[Mapping[str, float]], bool]:
    return lambda metrics: ledger.is_within(metrics[ledger.metric], allowance)
