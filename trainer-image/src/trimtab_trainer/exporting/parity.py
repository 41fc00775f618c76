"""Do a model and its exported file compute the same?

Called by the stages after every export with the torch model and the runtime as plain callables;
neither a runtime nor a file is known here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from trimtab_trainer.errors import ExportFailedError

__all__ = ["Parity", "compare_outputs"]

_CLASS_SCORES_DIMENSIONS = 2


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two models' outputs are apart over all compared samples."""

    samples: int
    max_abs_error: float
    """Largest difference of one output value."""
    max_abs_output: float
    """Largest finite output value of the reference, the scale to read the error by."""
    agreement: float | None
    """Share of samples with the same largest score; None where outputs are no class scores."""


@torch.no_grad()
def compare_outputs(
    reference: Callable[[Tensor], Tensor],
    candidate: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
    *,
    tolerance: float,
) -> Parity:
    """Run both on the same inputs and compare.

    Args:
        reference: Maps a batch of shape (N, …) to outputs of shape (N, …).
        candidate: The same, computed another way.
        batches: Inputs, at least one batch.
        tolerance: Largest allowed difference as a share of the reference's largest output, which
            is taken as 1 when it is smaller; infinity only measures.

    Returns:
        The figures, also when the tolerance is just kept.

    Raises:
        ExportFailedError: The outputs differ in shape, are not finite in one of the two only, or
            differ past the tolerance.
        ValueError: There is no batch.
    """
    samples, error, scale, agreeing = 0, 0.0, 0.0, 0
    has_scores = True
    for inputs in batches:
        expected, actual = reference(inputs), candidate(inputs)
        if expected.shape != actual.shape:
            raise ExportFailedError(
                f"the exported file returns shape {tuple(actual.shape)} but the model returns "
                f"{tuple(expected.shape)}"
            )
        samples += len(inputs)
        error = max(error, _largest(_difference(expected, actual)))
        scale = max(scale, _largest(expected[expected.isfinite()].abs()))
        has_scores = has_scores and expected.ndim == _CLASS_SCORES_DIMENSIONS
        if has_scores:
            agreeing += int((expected.argmax(1) == actual.argmax(1)).sum())
    if samples == 0:
        raise ValueError("outputs can only be compared on at least one batch but there is none")
    if error > tolerance * max(scale, 1.0):
        raise ExportFailedError(
            f"outputs of the exported file differ from the model's by {error:.3g}; expected at most"
            f" {tolerance:g} of the largest output ({scale:.3g}) over {samples} samples"
        )
    return Parity(samples, error, scale, agreeing / samples if has_scores else None)


def _difference(expected: Tensor, actual: Tensor) -> Tensor:
    # Values that are equally infinite or NaN on both sides agree; one-sided ones count as infinite.
    difference = (expected.double() - actual.double()).abs()
    same = (expected == actual) | (expected.isnan() & actual.isnan())
    return difference.masked_fill(difference.isnan(), torch.inf).masked_fill(same, 0.0)


def _largest(values: Tensor) -> float:
    return float(values.max()) if values.numel() else 0.0
