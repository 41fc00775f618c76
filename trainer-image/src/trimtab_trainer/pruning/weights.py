"""Weights: single connections that are made zero and stay so, behind the interface of pruning.

Made by `granularity`. Masks live only while a model is pruned: what is left are plain weights with
zeros, which any runtime loads. Biases, norms and the output layer are never masked.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, assert_never

import torch
from torch import nn
from torch.nn.utils import parametrize
from typing_extensions import override

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.pruning.amounts import AmountKind, Counters
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.eval_mode import in_eval_mode
from trimtab_trainer.pruning.importance import GRADIENT_MEASURES, score_weights
from trimtab_trainer.pruning.prunable import AbstractPrunable, PrunableLayer, find_fixed_shares
from trimtab_trainer.pruning.saliency import Losses, measure_weight_saliency

__all__ = ["MaskedModel", "find_weights"]

_WITH_WEIGHT = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(frozen=True, slots=True)
class MaskedModel(AbstractPrunable):
    """A model of which some weights are zero for good."""

    tensors: Mapping[str, str]
    """Layer → name of its weight."""
    masks: Mapping[str, torch.Tensor]
    """Layer → bool, of the weight's shape and on its device: True where it is gone."""
    settings: PruneSettings
    """Which measure scores the weights."""

    @property
    @override
    def widths(self) -> dict[str, int]:
        return {layer: mask.numel() - int(mask.sum()) for layer, mask in self.masks.items()}

    @override
    def score(self, losses: Losses) -> dict[str, torch.Tensor]:
        importance, seed = self.settings.importance, self.settings.seed
        saliency = (
            measure_weight_saliency(self.model, self.tensors, losses)
            if importance in GRADIENT_MEASURES
            else None
        )
        return {
            layer: score_weights(
                self._weight(layer), layer, importance, saliency=saliency, seed=seed
            ).masked_fill(mask.flatten().cpu(), -1.0)  # No score is negative: these stay gone.
            for layer, mask in self.masks.items()
        }

    @override
    def shrink(self, widths: Mapping[str, int], scores: Mapping[str, torch.Tensor]) -> Self:
        now = self.widths
        masks = {
            layer: mask
            if widths[layer] == now[layer]
            else _mask_lowest(scores[layer], mask.numel() - widths[layer], mask)
            for layer, mask in self.masks.items()
        }
        shrunk = replace(self, model=copy.deepcopy(self.model), masks=masks)
        shrunk.hold()
        return shrunk

    @override
    def hold(self) -> None:
        with torch.no_grad():
            for layer, mask in self.masks.items():
                self._weight(layer).masked_fill_(mask, 0.0)

    @override
    def reduction(self, kind: AmountKind, widths: Mapping[str, int], counters: Counters) -> float:
        now = sum(self.widths.values())
        removed = now - sum(widths.values())
        match kind:
            case AmountKind.RATIO:
                return removed / now
            case AmountKind.PARAMS_REDUCTION:
                return removed / counters.params(self.model)
            case AmountKind.FLOPS_REDUCTION:
                raise UserError(
                    "prune.amount.flopsReduction cannot be reached with granularity Weights, which "
                    "saves no FLOPs; expected ratio or paramsReduction"
                )
            case _:
                assert_never(kind)

    def _weight(self, layer: str) -> nn.Parameter:
        return self.model.get_parameter(self.tensors[layer])


def find_weights(model: nn.Module, example: torch.Tensor, settings: PruneSettings) -> MaskedModel:
    """Find the weights of a model that settings allow to make zero.

    These are the weights of convolutions, fully connected layers and attention, without the layer
    that is computed last, which gives the output.

    Args:
        model: the dense model; left as it is.
        example: an input batch, shape (N, ...).
        settings: with granularity Weights.

    Raises:
        UserError: the model does not run, a pattern matches nothing, or nothing may be masked.
    """
    ignored = match_layers(model, settings.ignore_layers, field="prune.ignoreLayers")
    tensors = _list_weights(model)
    output = _find_last(model, example, tensors)
    kept = {
        layer: name
        for layer, name in tensors.items()
        if layer not in ignored
        and model.get_parameter(name) is not model.get_parameter(tensors[output])
    }
    if not kept:
        raise UserError(
            f"the model has no weights that can be pruned outside of its output layer {output!r} "
            f"and prune.ignoreLayers {list(settings.ignore_layers)}"
        )
    fixed = find_fixed_shares(model, settings.layer_ratios, {layer: (layer,) for layer in kept})
    weights = {layer: model.get_parameter(name) for layer, name in kept.items()}
    layers = tuple(
        PrunableLayer(
            name=layer,
            kind=Granularity.WEIGHTS,
            width=weight.numel(),
            fixed_share=fixed.get(layer),
            max_share=settings.max_layer_ratio,
            multiple=1,
        )
        for layer, weight in weights.items()
    )
    masks = {layer: torch.zeros_like(weight, dtype=torch.bool) for layer, weight in weights.items()}
    return MaskedModel(
        model=model, layers=layers, cuts=(), tensors=kept, masks=masks, settings=settings
    )


def _list_weights(model: nn.Module) -> dict[str, str]:
    """Return layer → name of its weight; a weight that layers share belongs to the first."""
    parameters = dict(model.named_parameters())
    found = {
        layer: f"{layer}.{attribute}".removeprefix(".")
        for layer, module in model.named_modules()
        if (attribute := _weight_attribute(module)) is not None
    }
    return {layer: name for layer, name in found.items() if name in parameters}


def _weight_attribute(module: nn.Module) -> str | None:
    if parametrize.is_parametrized(module):
        return None  # Its weight is computed anew from others in each pass.
    if isinstance(module, nn.MultiheadAttention):
        return "in_proj_weight"
    return "weight" if isinstance(module, _WITH_WEIGHT) else None


def _find_last(model: nn.Module, example: torch.Tensor, layers: Mapping[str, str]) -> str:
    """Return the layer that is computed last."""
    computed: list[str] = []

    def watch(layer: str) -> Any:
        return model.get_submodule(layer).register_forward_hook(lambda *_: computed.append(layer))

    watches = [watch(layer) for layer in layers]
    try:
        with in_eval_mode(model), torch.no_grad():
            model(example)
    except Exception as error:
        raise UserError(
            f"the model does not run with input shape {tuple(example.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for handle in watches:
            handle.remove()
    if not computed:
        raise UserError(
            "the model computes no convolution or fully connected layer; prune needs at least two"
        )
    return computed[-1]


def _mask_lowest(scores: torch.Tensor, number: int, like: torch.Tensor) -> torch.Tensor:
    threshold = scores.kthvalue(number).values
    mask = scores < threshold
    # Equal scores are decided by position, so that a run can be repeated.
    ties = (scores == threshold).nonzero().flatten()
    mask[ties[: number - int(mask.sum())]] = True
    return mask.reshape(like.shape).to(like.device)
