"""Trainings of seconds: tiny networks, data that say which sample is which, and a changeable recipe."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from trimtab_api.v1alpha1.train import LearningRateSchedule, Optimizer, PrecisionDtype
from trimtab_trainer.data._base import AbstractSplit, DataBundle
from trimtab_trainer.models.task import AbstractTask
from trimtab_trainer.training.recipe import PrecisionSettings, Recipe

__all__ = ["Points", "Regression", "Rows", "make_net", "make_points", "make_recipe", "make_rows"]

_RECIPE = Recipe(
    epochs=4,
    batch_size=16,
    optimizer=Optimizer.ADAMW,
    learning_rate=0.01,
    weight_decay=0.01,
    momentum=0.9,
    schedule=LearningRateSchedule.COSINE,
    precision=PrecisionSettings(dtype=PrecisionDtype.FP32),
)


def make_recipe(**changes: Any) -> Recipe:
    """Return a recipe of four epochs in fp32; names of precision settings change those."""
    names = {"dtype", "loss_scale", "loss_scale_value", "fallback", "keep_float"}
    precision = replace(
        _RECIPE.precision, **{name: value for name, value in changes.items() if name in names}
    )
    others = {name: value for name, value in changes.items() if name not in names}
    return replace(_RECIPE, precision=precision, **others)


class Rows(AbstractSplit):
    """Samples whose target is their own number."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    @override
    def __len__(self) -> int:
        return self._samples

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(indices), 2), indices


class Points(AbstractSplit):
    """Samples of sixteen features, and one number each to predict."""

    def __init__(self, samples: int) -> None:
        generator = torch.Generator().manual_seed(5)
        self._inputs = torch.randn(samples, 16, generator=generator)
        self._targets = torch.sin(self._inputs.sum(dim=1, keepdim=True))

    @override
    def __len__(self) -> int:
        return len(self._inputs)

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._inputs[indices], self._targets[indices]


class Regression(AbstractTask):
    """Mean squared error."""

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(output, target)

    @override
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
        return {"loss": float(self.loss(output, target))}


def make_rows(samples: int) -> DataBundle:
    return _bundle(Rows(samples))


def make_points(samples: int) -> DataBundle:
    return _bundle(Points(samples))


def make_net(*, dropout: float = 0.0, seed: int = 0) -> nn.Sequential:
    """Return a network for points; torch's generator is then where the seed puts it."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(16, 32), nn.Tanh(), nn.Dropout(dropout), nn.Linear(32, 16), nn.Linear(16, 1)
    )


def _bundle(split: AbstractSplit) -> DataBundle:
    return DataBundle(split, split, None, image=None, num_classes=None, digest="")
