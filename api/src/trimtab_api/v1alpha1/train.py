"""Stage train: the recipe of each trial and of the final training."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, Rule

__all__ = ["LearningRateSchedule", "Optimizer", "Precision", "PrecisionDtype", "Train"]


class Optimizer(StrEnum):
    """How weights follow gradients."""

    ADAMW = "AdamW"
    SGD = "SGD"


class LearningRateSchedule(StrEnum):
    """How the learning rate changes over the steps."""

    COSINE = "Cosine"
    """From the given rate to zero along half a cosine."""
    CONSTANT = "Constant"


class PrecisionDtype(StrEnum):
    """The type that autocast computes in; master weights stay fp32."""

    AUTO = "Auto"
    """bf16 where the device computes in it, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"


class Precision(ApiModel):
    """Numeric precision of training."""

    dtype: PrecisionDtype = PrecisionDtype.AUTO
    """Type that autocast casts to."""


class Train(ApiModel):
    """How a network is trained."""

    epochs: Annotated[int, Field(ge=1, le=100000)] | None = None
    """Passes over the training split. Computed: 10, unless steps is set."""
    steps: Annotated[int, Field(ge=1, le=1000000000)] | None = None
    """Optimizer steps, instead of epochs."""
    batch_size: Annotated[int, Field(ge=1, le=1048576)] = 64
    """Samples per optimizer step."""
    optimizer: Optimizer = Optimizer.ADAMW
    """AdamW or SGD."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    """Learning rate at the start."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Weight decay: decoupled for AdamW, an L2 penalty for SGD."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    learning_rate_schedule: LearningRateSchedule = LearningRateSchedule.COSINE
    """Cosine or Constant."""
    precision: Precision = Field(default_factory=Precision)
    """Numeric precision."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.epochs) && has(self.steps))",
            check=lambda self: self.epochs is None or self.steps is None,
            message="must not be set together with epochs",
            field="steps",
        ),
    )
