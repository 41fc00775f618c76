"""Stage train: the recipe of each trial and of the final training."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, Rule
from trimtab_api.v1alpha1._types import Glob

__all__ = [
    "Checkpointing",
    "FloatDtype",
    "LearningRateSchedule",
    "LossScale",
    "LossScaleMode",
    "Optimizer",
    "Precision",
    "PrecisionDtype",
    "Train",
]


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
    """bf16 where the device computes in it, else fp16 on a GPU and fp32 on a CPU; fp32 with AMX."""
    FP32 = "fp32"
    """32 bits everywhere."""
    TF32 = "tf32"
    """fp32 whose matrix products round their inputs to 10 bits of mantissa, on GPUs that can; fp32 elsewhere."""
    BF16 = "bf16"
    """16 bits with the range of fp32 and 8 bits of mantissa."""
    FP16 = "fp16"
    """16 bits with 11 bits of mantissa and a small range, so that the loss is scaled."""
    FP8 = "fp8"
    """8-bit inputs of linear layers with a scale per tensor, and bf16 elsewhere; emulated where the device has no 8-bit floats."""


class FloatDtype(StrEnum):
    """The types that training may fall back to."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


class LossScaleMode(StrEnum):
    """How the loss is scaled so that small gradients do not vanish."""

    AUTO = "Auto"
    """Dynamic for fp16 and fp8, Off for the others."""
    DYNAMIC = "Dynamic"
    """Halved when a gradient overflows, whose step is skipped; doubled after a while without."""
    STATIC = "Static"
    """Always `value`; a step whose gradient overflows is skipped."""
    OFF = "Off"
    """The loss is not scaled."""


class LossScale(ApiModel):
    """Loss scaling."""

    mode: LossScaleMode = LossScaleMode.AUTO
    """Auto, Dynamic, Static or Off; kubectl wants Off in quotes, as it reads the bare word as false."""
    value: Annotated[float, Field(gt=0, le=4294967296)] | None = None
    """The scale of Static, the first scale of Dynamic (there computed: 65536)."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.mode != 'Static' || has(self.value)",
            check=lambda self: self.mode is not LossScaleMode.STATIC or self.value is not None,
            message="must be set when mode is Static",
            field="value",
        ),
        Rule(
            cel="self.mode != 'Off' || !has(self.value)",
            check=lambda self: self.mode is not LossScaleMode.OFF or self.value is None,
            message="must not be set when mode is Off",
            field="value",
        ),
    )


class Precision(ApiModel):
    """Numeric precision of training."""

    dtype: PrecisionDtype = PrecisionDtype.AUTO
    """Type that autocast casts to; master weights stay fp32."""
    loss_scale: LossScale = Field(default_factory=LossScale)
    """Loss scaling."""
    fallback: Annotated[tuple[FloatDtype, ...], Field(max_length=3)] = (
        FloatDtype.BF16,
        FloatDtype.FP32,
    )
    """What to go on with, in this order, after repeated overflow or a loss that is not finite; types with no wider range or precision than the one before are passed over."""
    keep_float: Annotated[tuple[Glob, ...], Field(max_length=32)] = ()
    """Layers that compute in fp32 always; a pattern that matches nothing is an error."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.fallback.all(f, self.fallback.exists_one(g, g == f))",
            check=lambda self: len(set(self.fallback)) == len(self.fallback),
            message="must name each type once",
            field="fallback",
        ),
    )


class Checkpointing(ApiModel):
    """How often an unfinished training is saved, so that a lost one goes on from there."""

    every_epochs: Annotated[int, Field(ge=1, le=100000)] = 1
    """Epochs between two checkpoints."""
    keep: Annotated[int, Field(ge=1, le=100)] = 2
    """How many are kept; an older one is used where the newest is refused."""


class Train(ApiModel):
    """How a network is trained."""

    epochs: Annotated[int, Field(ge=1, le=100000)] | None = None
    """Passes over the training split. Computed: 10, unless steps is set."""
    steps: Annotated[int, Field(ge=1, le=1000000000)] | None = None
    """Optimizer steps, instead of epochs."""
    batch_size: Annotated[int, Field(ge=1, le=1048576)] = 64
    """Samples per optimizer step, over all workers of a trial."""
    accumulate_steps: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts that a batch is computed in, one after another, to save memory; the step is the same."""
    num_workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that train one network together, each on its share of the batch (DDP)."""
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
    checkpoint: Checkpointing = Field(default_factory=Checkpointing)
    """Checkpoints of an unfinished training."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.epochs) && has(self.steps))",
            check=lambda self: self.epochs is None or self.steps is None,
            message="must not be set together with epochs",
            field="steps",
        ),
        Rule(
            cel="self.batchSize >= self.accumulateSteps * self.numWorkers",
            check=lambda self: self.batch_size >= self.accumulate_steps * self.num_workers,
            message="must be at least accumulateSteps × numWorkers, so that no part is empty",
            field="batch_size",
        ),
    )
