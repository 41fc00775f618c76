"""Stage quantize: the method, the types of weights and activations, and the calibration."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel

__all__ = [
    "ActivationDtype",
    "Calibration",
    "CalibrationMethod",
    "Quantize",
    "QuantizeMethod",
    "WeightDtype",
]


class QuantizeMethod(StrEnum):
    """How ranges of activations are found."""

    STATIC = "Static"
    """Once, by calibration on training samples."""


class WeightDtype(StrEnum):
    """Type of the weights."""

    INT8 = "int8"


class ActivationDtype(StrEnum):
    """Type of the activations."""

    UINT8 = "uint8"


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
    """Quantization to 8 bits; what breaks the accuracy budget is rejected."""

    method: QuantizeMethod = QuantizeMethod.STATIC
    """Static."""
    weights: WeightDtype = WeightDtype.INT8
    """int8."""
    activations: ActivationDtype = ActivationDtype.UINT8
    """uint8."""
    calibration: Calibration = Field(default_factory=Calibration)
    """Ranges of activations."""
    per_channel: bool = True
    """One scale per output channel of the weights instead of one per layer."""
