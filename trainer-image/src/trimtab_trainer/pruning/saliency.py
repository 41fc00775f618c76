"""Saliency: what removing each part of a model does to the loss, by gradients of samples.

Called by `structures` and `weights` once per state of the model, for the measures Taylor and
Fisher. Which samples, and in which batches, is the caller's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from trimtab_trainer.errors import DivergedError
from trimtab_trainer.pruning.eval_mode import in_eval_mode
from trimtab_trainer.pruning.groups import ChannelGroup, Member

__all__ = ["Losses", "Saliency", "measure_unit_saliency", "measure_weight_saliency"]

Losses = Callable[[nn.Module], Iterable[torch.Tensor]]
"""Mean losses of micro-batches of about equal size, each a scalar with a gradient."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MATRIX = 2

_Effects = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Saliency:
    """Estimates of the loss change, float32 on the CPU, shape (parts,), by name of the layer.

    Both are made of the effect e = Σ w · ∂L/∂w over the weights that a part stands for: the slope
    of the loss when these weights fade away together.
    """

    first: Mapping[str, torch.Tensor]
    """Mean of |e| over micro-batches: the change to first order (Molchanov et al., Pruning
    Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017)."""
    second: Mapping[str, torch.Tensor]
    """Half the mean of e²: the change to second order at a minimum, where the Fisher information
    stands for the curvature (Theis et al., Faster gaze prediction with dense networks and Fisher
    pruning, 2018). It is exact for micro-batches of one sample and keeps its order for a few."""


def measure_unit_saliency(
    model: nn.Module, groups: Sequence[ChannelGroup], losses: Losses
) -> Saliency:
    """Estimate the loss change of removing each unit of each group.

    A unit that is gone is one that no layer reads any more. So its weights are those of all layers
    that read it, and their effects are added with their signs before anything is made absolute:
    one gate on the unit, as in Molchanov et al., Importance Estimation for Neural Network Pruning,
    CVPR 2019, shared by coupled layers, as in Liu et al., Group Fisher Pruning, ICML 2021. A
    unit counts once, however many layers are coupled to it.

    Args:
        model: in which the groups were found; evaluated, not changed.
        groups: their units are the parts.
        losses: asked for losses of this model.

    Raises:
        DivergedError: a loss is not finite.
    """
    readers = {
        group.root: [member for member in group.members if _reads(model, member)]
        for group in groups
    }
    names = {member.tensor for members in readers.values() for member in members}

    def gather(effects: _Effects) -> dict[str, torch.Tensor]:
        sums = {group.root: torch.zeros(group.width) for group in groups}
        for root, members in readers.items():
            for member in members:
                _add_effects(sums[root], effects[member.tensor], member)
        return sums

    return _average(model, sorted(names), losses, gather)


def measure_weight_saliency(
    model: nn.Module, tensors: Mapping[str, str], losses: Losses
) -> Saliency:
    """Estimate the loss change of making each single weight zero.

    Args:
        model: evaluated, not changed.
        tensors: layer → name of its parameter; the parts are its elements, flattened.
        losses: asked for losses of this model.

    Raises:
        DivergedError: a loss is not finite.
    """

    def gather(effects: _Effects) -> dict[str, torch.Tensor]:
        return {layer: effects[name].flatten() for layer, name in tensors.items()}

    return _average(model, list(tensors.values()), losses, gather)


def _reads(model: nn.Module, member: Member) -> bool:
    """Tell whether a weight takes the units as inputs in this dimension."""
    module = model.get_submodule(member.tensor.rpartition(".")[0])
    if isinstance(module, _TRANSPOSED):
        # What a grouped layer passes on is read by those that follow it.
        return member.tensor.endswith("weight") and member.dimension == 0 and module.groups == 1
    if member.dimension != 1:
        return False
    # Other tensors with more dimensions are tables that are added.
    return isinstance(module, _CONVOLUTIONS) or (
        model.get_parameter(member.tensor).dim() == _MATRIX
    )


def _add_effects(sums: torch.Tensor, effects: torch.Tensor, member: Member) -> None:
    size = effects.shape[member.dimension]
    per_position = effects.movedim(member.dimension, 0).reshape(size, -1).sum(dim=1)
    sums.index_add_(0, torch.tensor(member.channels), per_position[torch.tensor(member.positions)])


def _average(
    model: nn.Module,
    names: Sequence[str],
    losses: Losses,
    gather: Callable[[_Effects], Mapping[str, torch.Tensor]],
) -> Saliency:
    first: dict[str, torch.Tensor] = {}
    second: dict[str, torch.Tensor] = {}
    batches = 0
    for effects in _effects_of_batches(model, names, losses):
        batches += 1
        for key, effect in gather(effects).items():
            first.setdefault(key, torch.zeros_like(effect)).add_(effect.abs())
            second.setdefault(key, torch.zeros_like(effect)).add_(effect.square())
    if not batches:
        raise ValueError("losses must give at least one loss but gave none")
    return Saliency(
        {key: total / batches for key, total in first.items()},
        {key: total / (2 * batches) for key, total in second.items()},
    )


def _effects_of_batches(
    model: nn.Module, names: Sequence[str], losses: Losses
) -> Iterator[_Effects]:
    parameters = [model.get_parameter(name) for name in names]
    with in_eval_mode(model), _differentiable(parameters), torch.enable_grad():
        for loss in losses(model):
            if not torch.isfinite(loss):
                raise DivergedError(
                    f"the loss of calibration samples is {loss.item()}; importance by gradients "
                    "needs a finite one"
                )
            gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
            yield {
                name: (parameter.detach() * gradient).float().cpu()
                for name, parameter, gradient in zip(names, parameters, gradients, strict=True)
            }


@contextmanager
def _differentiable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Frozen layers are ranked like others."""
    flags = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad = True
        yield
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad = flag
