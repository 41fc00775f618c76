"""Layers that compute differently while they train, without becoming other layers.

Called by the training loop. A replaced `forward` lies on the module's instance, so types, names,
weights and hooks stay what they are, and taking it away again leaves no trace for export or
pruning.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

__all__ = ["keep_float", "replaced"]

Forward = Callable[..., Any]


@contextmanager
def replaced(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Let modules compute with other functions for the length of a block.

    Functions take what `forward` takes, without the module. A module that has its own function on
    its instance already gets it back.
    """
    before = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module, own in before.items():
            if own is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = own


def keep_float(module: nn.Module, device: str) -> Forward:
    """Return a forward that computes in fp32 and takes its inputs so, whatever is around it."""
    forward = module.forward

    def compute(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = pytree.tree_map(_to_fp32, (args, kwargs))
        with torch.autocast(device, enabled=False):
            return forward(*args, **kwargs)

    return compute


def _to_fp32(value: Any) -> Any:
    is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.float() if is_float else value
