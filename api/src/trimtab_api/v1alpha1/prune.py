"""Stage prune: what is cut, by which measure, how much and in which steps."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1._types import Glob

__all__ = ["Amount", "Curve", "Finetune", "Granularity", "Importance", "Prune", "Schedule"]


class Granularity(StrEnum):
    """What is removed."""

    STRUCTURES = "Structures"
    """Units of linear layers and filters of convolutions, cut out physically with all coupled layers."""


class Importance(StrEnum):
    """How the parts to remove are chosen."""

    L2 = "L2"
    """Magnitude: the L2 norm of a channel's weights over all coupled layers."""


class Curve(StrEnum):
    """How the amount grows over the steps."""

    LINEAR = "Linear"
    CUBIC = "Cubic"
    """Large steps first, small ones last (Zhu and Gupta, 2017)."""


Fraction = Annotated[float, Field(gt=0, lt=1)]


class Amount(OneOf):
    """How much is removed. Exactly one measure."""

    union: ClassVar[tuple[str, ...]] = ("ratio", "params_reduction", "flops_reduction")

    ratio: Fraction | None = None
    """Share of the channels of each layer."""
    params_reduction: Fraction | None = None
    """Share of the parameters."""
    flops_reduction: Fraction | None = None
    """Share of the FLOPs of one sample."""


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
    """Structured pruning inside the accuracy budget: a step that breaks it is undone."""

    granularity: Granularity = Granularity.STRUCTURES
    """Structures."""
    importance: Importance = Importance.L2
    """L2."""
    amount: Amount | None = None
    """How much is removed. Computed: by the first target's profile."""
    schedule: Schedule = Field(default_factory=Schedule)
    """Steps towards the amount."""
    max_layer_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Largest share of the channels that any one layer may lose."""
    round_to: Annotated[int, Field(ge=1, le=64)] | None = None
    """Widths stay multiples of this power of two, which hardware likes. Computed: 8."""
    ignore_layers: Annotated[tuple[Glob, ...], Field(max_length=64)] = ()
    """Layers never cut, as patterns over module names; a pattern that matches nothing is an error. The output layer is never cut."""
    finetune: Finetune = Field(default_factory=Finetune)
    """Training after each step."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.roundTo) || self.roundTo in [1, 2, 4, 8, 16, 32, 64]",
            check=lambda self: self.round_to is None or self.round_to in {1, 2, 4, 8, 16, 32, 64},
            message="must be a power of two from 1 to 64",
            field="round_to",
        ),
    )
