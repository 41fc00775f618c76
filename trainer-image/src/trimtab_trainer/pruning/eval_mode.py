"""Run a model on its example as in deployment, and leave its training flags as they were.

Used by `dependency` for the trace and by `trial` for runs after a cut.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["in_eval_mode"]


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation, so that batch statistics stay, and back afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training
