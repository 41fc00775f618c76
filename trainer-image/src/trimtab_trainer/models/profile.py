"""What a network costs, counted rather than timed: parameters and floating point operations.

Called by search (static constraints) and pruning (how far to go), and for the report.
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops", "count_parameters"]


def count_parameters(model: nn.Module) -> int:
    """Return the number of weights; buffers such as running means do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, example: torch.Tensor) -> int:
    """Return the floating point operations of one forward pass of one sample.

    A multiplication and an addition count as two; only matrix products and convolutions count,
    as torch's FlopCounterMode has it. The mode of the model is left as it was.

    Args:
        model: The network.
        example: Inputs, shape (N, …) with N at least 1; the first is used.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(example[:1])
    finally:
        model.train(was_training)
    return int(counter.get_total_flops())
