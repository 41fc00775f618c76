"""What a network costs, counted rather than timed: parameters and floating point operations.

Called by search (static constraints) and pruning (how far to go), and for the report.
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops", "count_linear_share", "count_parameters", "measure_sparsity"]


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
    return sum(_count_by_operator(model, example).values())


def count_linear_share(model: nn.Module, example: torch.Tensor) -> float:
    """Return the share of the FLOPs outside of convolutions: linear layers and matrix products.

    Args:
        model: As in `count_flops`.
        example: As there.
    """
    counts = _count_by_operator(model, example)
    convolutions = sum(flops for name, flops in counts.items() if "convolution" in name)
    total = sum(counts.values())
    return 1 - convolutions / total if total else 0.0


def _count_by_operator(model: nn.Module, example: torch.Tensor) -> dict[str, int]:
    was_training = model.training
    had_fastpath = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    # The fused attention of evaluation is one operator, which the counter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(example[:1])
    finally:
        torch.backends.mha.set_fastpath_enabled(had_fastpath)
        model.train(was_training)
    counts = counter.get_flop_counts().get("Global", {})
    return {str(operator): int(flops) for operator, flops in counts.items()}


def measure_sparsity(model: nn.Module) -> float:
    """Return the share of zeros among the weights: parameters with two dimensions or more."""
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    total = sum(weight.numel() for weight in weights)
    zeros = sum(weight.numel() - int(weight.count_nonzero()) for weight in weights)
    return zeros / total if total else 0.0
