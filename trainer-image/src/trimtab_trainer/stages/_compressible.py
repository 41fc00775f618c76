"""Whether a network can be pruned and quantized as the manifest asks, told before it is trained.

The preflight asks it of the manifest's network. Where the search changes the network, what counts
is the one of each trial, so `_fit` asks it there. `_prune_work` reads the manifest as it does.
"""

from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.prune import Amount as AmountSpec
from trimtab_api.v1alpha1.prune import Prune
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.pruning.amounts import Amount, AmountKind, Counters
from trimtab_trainer.pruning.budget import check_amount
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.stages._bench import Bench, make_example

__all__ = ["check_compression", "make_amount", "make_settings", "searches_network"]

_TRAINING = "train."


def searches_network(spec: Spec) -> bool:
    """Return whether trials of an expanded spec have other networks than the manifest's."""
    search = spec.stages.search
    parameters = search.parameters or () if search else ()
    return any(not parameter.name.startswith(_TRAINING) for parameter in parameters)


def check_compression(bench: Bench, spec: Spec) -> None:
    """Check that a spec's network can be cut as far as asked, and that patterns match its layers.

    Raises:
        UserError: It cannot, or a pattern matches nothing.
    """
    prune, quantize = spec.stages.prune, spec.stages.quantize
    model = bench.fresh_model(spec).cpu()
    if prune is not None and prune.amount is not None:
        example = make_example(bench.data(spec))
        check_amount(
            model,
            example,
            amount=make_amount(prune.amount),
            settings=make_settings(prune, spec.seed),
            counters=Counters(count_parameters, lambda model: count_flops(model, example)),
        )
    if quantize is not None:
        match_layers(model, quantize.keep_float, field="quantize.keepFloat")


def make_settings(prune: Prune, seed: int) -> PruneSettings:
    """Return which parts may go, as an expanded stages.prune says."""
    return PruneSettings(
        granularity=prune.granularity,
        importance=prune.importance,
        allocation=prune.allocation,
        ignore_layers=prune.ignore_layers,
        layer_ratios=prune.layer_ratios,
        max_layer_ratio=prune.max_layer_ratio,
        round_to=prune.round_to or 1,
        seed=seed,
    )


def make_amount(amount: AmountSpec) -> Amount:
    """Return how much goes, as the pruning package takes it."""
    name = amount.chosen()
    alias = AmountSpec.model_fields[name].alias or name
    return Amount(AmountKind(alias), getattr(amount, name))
