"""Trial cuts: which groups a model's own code lets go.

Called by `cutter` with groups as `dependency` found them. A program of fixed sizes does not tell
which of its numbers the code computes anew from narrower tensors, so this is tried out.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from trimtab_trainer.pruning.cuts import Cut, replay_cuts
from trimtab_trainer.pruning.eval_mode import in_eval_mode
from trimtab_trainer.pruning.groups import ChannelGroup

__all__ = ["Trial", "keep_runnable", "make_trials"]

_WRONG_WIDTH = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What code that relies on a width raises."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A model that can be run with cuts."""

    model: nn.Module
    example: torch.Tensor
    """An input batch on the device of the model."""
    shape: torch.Size
    """Of the outputs before any cut."""

    def runs_after(self, cuts: Sequence[Cut]) -> bool:
        """Tell whether the model runs and gives outputs of the same shape after cuts of it."""
        tensors = chain(self.model.parameters(), self.model.buffers())
        # The copy shares all tensors: a cut puts new ones in their place.
        trial = copy.deepcopy(self.model, {id(tensor): tensor for tensor in tensors})
        replay_cuts(trial, cuts)
        try:
            return _run(trial, self.example) == self.shape
        except _WRONG_WIDTH:
            return False


def make_trials(model: nn.Module, example: torch.Tensor) -> Iterator[Trial]:
    """Yield trials that sieve ever more finely: one that only computes shapes, then a real one.

    Args:
        model: left as it is.
        example: an input batch, shape (N, ...).
    """
    shapes_only = copy.deepcopy(
        model,
        {id(held): _without_data(held) for held in chain(model.parameters(), model.buffers())},
    )
    meta = example.to("meta")
    # Code that makes tensors on a device of its own choice cannot run without data.
    shape = None
    with suppress(*_WRONG_WIDTH):
        shape = _run(shapes_only, meta)
    if shape is not None:
        yield Trial(shapes_only, meta, shape)
    yield Trial(model, example, _run(model, example))


def _run(model: nn.Module, example: torch.Tensor) -> torch.Size:
    with in_eval_mode(model), torch.no_grad():
        outputs: torch.Tensor = model(example)
    return outputs.shape


def _without_data(tensor: torch.Tensor) -> torch.Tensor:
    empty = tensor.detach().to("meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def keep_runnable(
    groups: Sequence[ChannelGroup], runs: Callable[[Sequence[ChannelGroup]], bool]
) -> tuple[ChannelGroup, ...]:
    """Return as many groups as can be cut together, found by bisection.

    Args:
        groups: all that might be cut.
        runs: whether a model runs when these are cut; asked once if it does with all of them,
            and for each of k groups that must stay about 2 log2(n/k) times more.
    """
    return _add_runnable((), tuple(groups), runs)


def _add_runnable(
    base: tuple[ChannelGroup, ...],
    more: tuple[ChannelGroup, ...],
    runs: Callable[[Sequence[ChannelGroup]], bool],
) -> tuple[ChannelGroup, ...]:
    """Return the base with those of the others that it runs with."""
    if not more or runs(base + more):
        return base + more
    if len(more) == 1:
        return base
    middle = len(more) // 2
    return _add_runnable(_add_runnable(base, more[:middle], runs), more[middle:], runs)
