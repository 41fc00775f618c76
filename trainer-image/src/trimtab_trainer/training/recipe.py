"""How a network is trained: the numbers of the manifest's `train`, as the loop takes them.

Made by the stages from the manifest and a trial's parameters; fine-tuning replaces some.
"""

import math
from dataclasses import dataclass

from trimtab_api.v1alpha1.train import (
    FloatDtype,
    LearningRateSchedule,
    LossScaleMode,
    Optimizer,
    PrecisionDtype,
)

__all__ = ["PrecisionSettings", "Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionSettings:
    """In which types a training computes, and what it does when a type does not suffice."""

    dtype: PrecisionDtype = PrecisionDtype.AUTO
    loss_scale: LossScaleMode = LossScaleMode.AUTO
    loss_scale_value: float | None = None
    """The scale of Static, the first scale of Dynamic."""
    fallback: tuple[FloatDtype, ...] = ()
    """What to go on with, in this order; empty where giving a type up is not allowed."""
    keep_float: tuple[str, ...] = ()
    """Patterns of the layers that compute in fp32 always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training recipe; exactly one of epochs and steps is set."""

    epochs: int | None = None
    """Passes over the training split."""
    steps: int | None = None
    """Optimizer steps."""
    batch_size: int
    """Samples per step, over all members of a team."""
    accumulate_steps: int = 1
    """Parts that each member computes its share of a batch in, one after another."""
    optimizer: Optimizer
    learning_rate: float
    """At the start."""
    weight_decay: float
    momentum: float
    """Of SGD."""
    schedule: LearningRateSchedule
    precision: PrecisionSettings = PrecisionSettings()

    def __post_init__(self) -> None:
        """Refuse a recipe without one length.

        Raises:
            ValueError: Both or neither of epochs and steps are set.
        """
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"exactly one of epochs and steps must be set but got {self.epochs}, {self.steps}"
            )

    def count_steps(self, steps_per_epoch: int) -> int:
        """Return the number of optimizer steps in all."""
        return self.steps if self.steps is not None else (self.epochs or 0) * steps_per_epoch

    def learning_rate_at(self, step: int, total: int) -> float:
        """Return the learning rate of a step.

        Cosine falls from the given rate towards zero along half a cosine (Loshchilov and Hutter,
        "SGDR", 2017, without restarts).

        Args:
            step: 0…total-1.
            total: All steps of the training.
        """
        if self.schedule is LearningRateSchedule.CONSTANT:
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
