"""Stage quantize: the method, the types of weights and activations, and the calibration."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, Rule
from trimtab_api.v1alpha1._types import Glob

__all__ = [
    "ActivationDtype",
    "Calibration",
    "CalibrationMethod",
    "OnMiss",
    "Quantize",
    "QuantizeMethod",
    "WeightDtype",
]


class QuantizeMethod(StrEnum):
    """What becomes narrow, and when ranges of activations are found."""

    AUTO = "Auto"
    """The techniques of the targets' profiles; each is built and measured."""
    CAST = "Cast"
    """16-bit weights; activations in 16 bits where the runtime computes them so, else fp32."""
    WEIGHT_ONLY = "WeightOnly"
    """8-bit weights, fp32 activations."""
    DYNAMIC = "Dynamic"
    """8-bit weights of linear layers; ranges of activations are taken at each inference."""
    STATIC = "Static"
    """8-bit weights and activations; ranges are found once, by calibration on training samples."""


class WeightDtype(StrEnum):
    """Type of the weights."""

    INT8 = "int8"
    FP16 = "fp16"
    BF16 = "bf16"


class ActivationDtype(StrEnum):
    """Type of the activations."""

    INT8 = "int8"
    UINT8 = "uint8"
    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


class OnMiss(StrEnum):
    """What is tried when a quantized model misses a limit."""

    KEEP_FLOAT = "KeepFloat"
    """The most sensitive layers stay float, as few as it takes."""


_ACTIVATIONS: dict[QuantizeMethod, tuple[ActivationDtype, ...]] = {
    QuantizeMethod.AUTO: tuple(ActivationDtype),
    QuantizeMethod.CAST: (ActivationDtype.FP16, ActivationDtype.BF16, ActivationDtype.FP32),
    QuantizeMethod.WEIGHT_ONLY: (ActivationDtype.FP32,),
    # DynamicQuantizeLinear of ONNX knows no other type.
    QuantizeMethod.DYNAMIC: (ActivationDtype.UINT8,),
    QuantizeMethod.STATIC: (ActivationDtype.INT8, ActivationDtype.UINT8),
}


class CalibrationMethod(StrEnum):
    """How a range is taken from the values seen."""

    MIN_MAX = "MinMax"
    PERCENTILE = "Percentile"
    ENTROPY = "Entropy"


class Calibration(ApiModel):
    """How ranges of activations are found; the subset is seeded and hashed."""

    method: CalibrationMethod = CalibrationMethod.PERCENTILE
    """MinMax, Percentile or Entropy."""
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    """Share of the values inside the range, in percent; for Percentile."""
    samples: Annotated[int, Field(ge=1, le=100000)] = 512
    """Samples of the training split."""


class Quantize(ApiModel):
    """Quantization to 16 and to 8 bits; what breaks the accuracy budget is rejected."""

    method: QuantizeMethod = QuantizeMethod.AUTO
    """Auto, Cast, WeightOnly, Dynamic or Static."""
    weights: WeightDtype | None = None
    """int8, fp16 or bf16; not with Auto. Computed: int8; with Cast the type of the activations where that has 16 bits, else fp16."""
    activations: ActivationDtype | None = None
    """int8, uint8, fp16, bf16 or fp32; not with Auto. Computed: uint8 with Static and Dynamic, fp32 with WeightOnly; with Cast 16 bits in each runtime that computes in them, else fp32."""
    calibration: Calibration = Field(default_factory=Calibration)
    """Ranges of activations; for Static."""
    per_channel: bool = True
    """One scale per output channel of the weights instead of one per layer."""
    keep_float: Annotated[tuple[Glob, ...], Field(max_length=64)] = ()
    """Layers that stay float, as patterns over module names; a pattern that matches nothing is an error."""
    on_miss: Annotated[tuple[OnMiss, ...], Field(max_length=1)] = (OnMiss.KEEP_FLOAT,)
    """What to try when a limit is missed; KeepFloat serves Static, also within Auto."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.method != 'Auto' || (!has(self.weights) && !has(self.activations))",
            check=lambda self: (
                self.method is not QuantizeMethod.AUTO
                or (self.weights is None and self.activations is None)
            ),
            message="must not be Auto where weights or activations are given: Auto chooses them",
            field="method",
        ),
        Rule(
            cel="!has(self.weights) || self.method == 'Auto' || (self.method == 'Cast') == (self.weights != 'int8')",
            check=lambda self: (
                self.weights is None
                or self.method is QuantizeMethod.AUTO
                or (self.method is QuantizeMethod.CAST) == (self.weights is not WeightDtype.INT8)
            ),
            message="must be fp16 or bf16 with Cast, int8 with every other method",
            field="weights",
        ),
        Rule(
            cel="!has(self.activations)"
            " || (self.method == 'Static' && self.activations in ['int8', 'uint8'])"
            " || (self.method == 'Dynamic' && self.activations == 'uint8')"
            " || (self.method == 'WeightOnly' && self.activations == 'fp32')"
            " || (self.method == 'Cast' && self.activations in ['fp16', 'bf16', 'fp32'])"
            " || self.method == 'Auto'",
            check=lambda self: (
                self.activations is None or self.activations in _ACTIVATIONS[self.method]
            ),
            message="must be int8 or uint8 with Static, uint8 with Dynamic, fp32 with WeightOnly,"
            " fp16, bf16 or fp32 with Cast",
            field="activations",
        ),
        Rule(
            cel="self.method != 'Cast' || !has(self.weights) || !has(self.activations)"
            " || self.activations in ['fp32', self.weights]",
            check=lambda self: (
                self.method is not QuantizeMethod.CAST
                or self.weights is None
                or self.activations is None
                or self.activations.value in {"fp32", self.weights.value}
            ),
            message="must be fp32 or the type of the weights with Cast",
            field="activations",
        ),
    )
