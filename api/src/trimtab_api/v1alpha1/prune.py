"""Stage prune: what is cut, by which measure, how much and in which steps."""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1._types import Glob

__all__ = [
    "Allocation",
    "Amount",
    "Curve",
    "Finetune",
    "Granularity",
    "Importance",
    "Prune",
    "Schedule",
    "SensitivityScan",
]


class Granularity(StrEnum):
    """What is removed."""

    WEIGHTS = "Weights"
    """Single connections: they become zero; file and time stay as they are."""
    NEURONS = "Neurons"
    """Units of fully connected layers and attention heads, cut out with all coupled layers."""
    FILTERS = "Filters"
    """Filters of convolutions, cut out with all coupled layers."""
    STRUCTURES = "Structures"
    """Units and filters, cut out with all coupled layers."""


class Importance(StrEnum):
    """How the parts to remove are chosen."""

    L1 = "L1"
    """Magnitude: the L1 norm of the weights that go together, over all coupled layers."""
    L2 = "L2"
    """Magnitude: the L2 norm of the weights that go together, over all coupled layers."""
    TAYLOR = "Taylor"
    """Sensitivity: the change of the loss to first order, on calibration samples."""
    FISHER = "Fisher"
    """Sensitivity: the change of the loss to second order, by squared gradients of calibration samples."""
    RANDOM = "Random"
    """By chance, seeded: what every measure must beat."""


class Allocation(StrEnum):
    """How the amount is spread over the layers."""

    UNIFORM = "Uniform"
    """The same share of every layer."""
    GLOBAL = "Global"
    """The least important of all layers together."""
    SENSITIVITY = "Sensitivity"
    """By what cutting each layer was measured to cost."""


class Curve(StrEnum):
    """How the amount grows over the steps."""

    LINEAR = "Linear"
    CUBIC = "Cubic"
    """Large steps first, small ones last (Zhu and Gupta, 2017)."""


Fraction = Annotated[float, Field(gt=0, lt=1)]
LayerRatio = Annotated[float, Field(ge=0, lt=1)]


class Amount(OneOf):
    """How much is removed. Exactly one measure."""

    union: ClassVar[tuple[str, ...]] = ("ratio", "params_reduction", "flops_reduction")

    ratio: Fraction | None = None
    """Share of the channels, or of the weights with granularity Weights; of each layer with allocation Uniform."""
    params_reduction: Fraction | None = None
    """Share of the parameters."""
    flops_reduction: Fraction | None = None
    """Share of the FLOPs of one sample."""


class SensitivityScan(ApiModel):
    """How each layer's sensitivity is measured; for allocation Sensitivity."""

    ratios: Annotated[tuple[Fraction, ...], Field(min_length=1, max_length=10)] = (0.25, 0.5, 0.75)
    """Shares of a layer that are cut for a trial, ascending."""
    samples: Annotated[int, Field(ge=1, le=100000)] = 512
    """Samples of the training split that each trial cut is evaluated on, and that Taylor and Fisher take gradients of."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            # CEL has no way to walk a list in pairs, so the places are written out.
            cel="[1, 2, 3, 4, 5, 6, 7, 8, 9].all(i, i >= size(self.ratios) || self.ratios[i - 1] < self.ratios[i])",
            check=lambda self: all(low < high for low, high in pairwise(self.ratios)),
            message="must ascend",
            field="ratios",
        ),
    )


class Schedule(ApiModel):
    """In which steps the amount is reached; each is followed by fine-tuning."""

    steps: Annotated[int, Field(ge=1, le=20)] = 3
    """Number of steps."""
    curve: Curve = Curve.CUBIC
    """Linear or Cubic."""


class Finetune(ApiModel):
    """Training after each step, with the recipe of stages.train but for these fields."""

    epochs: Annotated[int, Field(ge=0, le=100000)] = 3
    """Passes over the training split after each step."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate at the start. Computed: 0.1 × the learning rate of train."""


class Prune(ApiModel):
    """Pruning inside the accuracy budget: a step that breaks it is undone."""

    granularity: Granularity = Granularity.STRUCTURES
    """Weights, Neurons, Filters or Structures."""
    importance: Importance = Importance.L2
    """L1, L2, Taylor, Fisher or Random."""
    allocation: Allocation = Allocation.UNIFORM
    """Uniform, Global or Sensitivity."""
    sensitivity: SensitivityScan = Field(default_factory=SensitivityScan)
    """Trial cuts for allocation Sensitivity, and samples for sensitivity measures."""
    amount: Amount | None = None
    """How much is removed. Computed: 0.5 of the weights with granularity Weights, else by the first target's profile."""
    schedule: Schedule = Field(default_factory=Schedule)
    """Steps towards the amount."""
    max_layer_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Largest share that any one layer may lose."""
    round_to: Annotated[int, Field(ge=1, le=64)] | None = None
    """Widths stay multiples of this power of two, which hardware likes. Computed: by the first target's profile."""
    ignore_layers: Annotated[tuple[Glob, ...], Field(max_length=64)] = ()
    """Layers never cut, as patterns over module names; a pattern that matches nothing is an error. The output layer is never cut."""
    layer_ratios: Annotated[dict[Glob, LayerRatio], Field(max_length=64)] = Field(
        default_factory=dict
    )
    """Pattern over module names → share removed from the layers that match, whatever the allocation says."""
    finetune: Finetune = Field(default_factory=Finetune)
    """Training after each step."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.roundTo) || self.roundTo in [1, 2, 4, 8, 16, 32, 64]",
            check=lambda self: self.round_to is None or self.round_to in {1, 2, 4, 8, 16, 32, 64},
            message="must be a power of two from 1 to 64",
            field="round_to",
        ),
        Rule(
            cel="self.granularity != 'Weights' || !has(self.roundTo)",
            check=lambda self: self.granularity is not Granularity.WEIGHTS or self.round_to is None,
            message="must not be set with granularity Weights, which keeps every width",
            field="round_to",
        ),
        Rule(
            cel="self.granularity != 'Weights' || !has(self.amount) || !has(self.amount.flopsReduction)",
            check=lambda self: (
                self.granularity is not Granularity.WEIGHTS
                or self.amount is None
                or self.amount.flops_reduction is None
            ),
            message="must not be flopsReduction with granularity Weights, which saves no FLOPs",
            field="amount",
        ),
        Rule(
            cel="!has(self.amount) || !has(self.amount.ratio) || self.amount.ratio <= self.maxLayerRatio",
            check=lambda self: (
                self.amount is None
                or self.amount.ratio is None
                or self.amount.ratio <= self.max_layer_ratio
            ),
            message="must not have a ratio above maxLayerRatio, which is 0.8 where it is not given",
            field="amount",
        ),
        Rule(
            cel="self.layerRatios.all(layer, self.layerRatios[layer] <= self.maxLayerRatio)",
            check=lambda self: all(
                ratio <= self.max_layer_ratio for ratio in self.layer_ratios.values()
            ),
            message="must not hold a share above maxLayerRatio, which is 0.8 where it is not given",
            field="layer_ratios",
        ),
    )
