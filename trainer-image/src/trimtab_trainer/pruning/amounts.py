"""Amounts: how much shall be removed, as a fraction of what, and how models are counted.

Plain data that the prune stage and the preflight hand in; `budget` turns it into widths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from torch import nn

__all__ = ["Amount", "AmountKind", "Counters"]


class AmountKind(StrEnum):
    """What an amount is a fraction of; the values are the field names of `prune.amount`."""

    RATIO = "ratio"
    PARAMS_REDUCTION = "paramsReduction"
    FLOPS_REDUCTION = "flopsReduction"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much to remove."""

    kind: AmountKind
    value: float
    """Fraction removed, above 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How the cost of a model is counted."""

    params: Callable[[nn.Module], int]
    """Number of parameters."""
    flops: Callable[[nn.Module], int]
    """FLOPs of one sample."""
