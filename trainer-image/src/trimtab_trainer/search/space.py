"""The search space: the manifest's parameters as distributions of optuna, and back.

Called by the study. A parameter with few values is searched as the position in its list of
values, so that 1, 1.0 and true stay different choices, and the points of a stepped range are
those that a grid would visit. Which point comes next is the samplers' and the study's business.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from trimtab_api.spaces import (
    describe_space,
    find_value,
    grid_points,
    is_finite_space,
    space_values,
)
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.search import LogUniform, NumberType, Parameter, SearchSpace, Uniform
from trimtab_trainer.errors import StudyMismatchError

__all__ = ["Point", "Space"]

Point = dict[str, Scalar]
"""Path of the field → value, as in the manifest."""

_LISTED = 10_000
"""More values than this cannot be exhausted, as a study has no more trials."""

_ROUNDING = 5e-4
"""Of a step, for the rounding of the division."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """One parameter: its distribution and, where it has few values, all of them."""

    name: str
    distribution: BaseDistribution
    values: tuple[Scalar, ...] | None
    is_indexed: bool
    """Whether optuna sees the position in the list instead of the value."""
    positions: Mapping[tuple[type, Scalar], int]
    """Type and value → position: 1, 1.0 and true are equal to Python, and all may be choices."""

    def decode(self, encoded: Any) -> Scalar:
        value: Scalar = self.values[encoded] if self.values and self.is_indexed else encoded
        return value

    def other_values(self, value: Scalar) -> Iterator[tuple[float, Scalar]]:
        """Yield the distance and the value of all others, where there is a list of them."""
        values = self.values or ()
        here = self.positions.get((type(value), value), 0)
        for there, other in enumerate(values):
            if there != here:
                is_ordered = not isinstance(self.distribution, CategoricalDistribution)
                yield (abs(there - here) / len(values) if is_ordered else 1.0), other

    def encode(self, value: Scalar) -> Scalar:
        if not self.is_indexed or self.values is None:
            return value
        position = self.positions.get((type(value), value))
        if position is None:
            raise StudyMismatchError(
                f"{self.name} must have a value of the job's search space but the trial log has"
                f" {value!r}"
            )
        return position


class Space:
    """The points that a search may try.

    Args:
        parameters: At least one, each with a name of its own.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters
        self._axes = [_build_axis(parameter) for parameter in parameters]
        self.distributions = {axis.name: axis.distribution for axis in self._axes}

    @property
    def size(self) -> int | None:
        """Return the number of points, None where there are more than a study can try."""
        counts = [len(axis.values) for axis in self._axes if axis.values is not None]
        return math.prod(counts) if len(counts) == len(self._axes) else None

    def points(self) -> Iterator[Point]:
        """Yield every point of a finite space once, the last parameter changing fastest.

        Raises:
            ValueError: A parameter has infinitely many values.
        """
        return grid_points(self._parameters)

    def random_points(self, seed: int) -> Iterator[Point]:
        """Yield points of a space with a size without end, each as likely as any other."""
        generator = np.random.default_rng(seed)
        listed = [(axis.name, axis.values or ()) for axis in self._axes]
        while True:
            yield {name: values[generator.integers(len(values))] for name, values in listed}

    def neighbours(self, point: Point, seed: int) -> Iterator[Point]:
        """Yield the points that differ in one parameter, nearest first, equally near ones mixed.

        Distance is the share of the parameter's list of values; all choices are equally far.

        Args:
            point: Of a space with a size.
            seed: Of the mixing.
        """
        steps = [
            (distance, axis.name, value)
            for axis in self._axes
            for distance, value in axis.other_values(point[axis.name])
        ]
        mixed = [steps[index] for index in np.random.default_rng(seed).permutation(len(steps))]
        for _, name, value in sorted(mixed, key=lambda step: step[0]):
            yield point | {name: value}

    def admit(self, point: Mapping[str, Scalar]) -> Point | None:
        """Return a point as this space spells it, None where the space does not have it."""
        if point.keys() != self.distributions.keys():
            return None
        found = {
            parameter.name: find_value(parameter.search_space, point[parameter.name])
            for parameter in self._parameters
        }
        admitted = {name: value for name, value in found.items() if value is not None}
        return admitted if len(admitted) == len(found) else None

    def admit_value(self, name: str, value: Scalar) -> Scalar:
        """Return a value of one parameter as this space spells it.

        Raises:
            ValueError: The space does not have it; the text is the expectation.
        """
        spaces = {parameter.name: parameter.search_space for parameter in self._parameters}
        if name not in spaces:
            raise ValueError(f"must be a searched parameter, one of {', '.join(spaces)},")
        found = find_value(spaces[name], value)
        if found is None:
            raise ValueError(f"must be {describe_space(spaces[name])}")
        return found

    def decode(self, sampled: Mapping[str, Any]) -> Point:
        """Return the point that optuna's parameters stand for."""
        return {axis.name: axis.decode(sampled[axis.name]) for axis in self._axes}

    def encode(self, point: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return optuna's parameters for a point.

        Raises:
            StudyMismatchError: The point is not in the space.
        """
        if point.keys() != self.distributions.keys():
            raise StudyMismatchError(
                f"a trial must have parameters {', '.join(sorted(self.distributions))} but the"
                f" trial log has {', '.join(sorted(point))}"
            )
        return {axis.name: axis.encode(point[axis.name]) for axis in self._axes}


def _build_axis(parameter: Parameter) -> _Axis:
    name, space = parameter.name, parameter.search_space
    values = tuple(space_values(space)) if _is_listable(space) else None
    distribution, is_indexed = _choose_distribution(space, values)
    positions = {(type(value), value): index for index, value in enumerate(values or ())}
    return _Axis(name, distribution, values, is_indexed, positions)


def _choose_distribution(
    space: SearchSpace, values: tuple[Scalar, ...] | None
) -> tuple[BaseDistribution, bool]:
    if space.log_uniform is not None:
        # A position has no order of magnitude, so optuna sees the value itself.
        return _log_distribution(space.log_uniform), False
    if values is None:
        return _range_distribution(space), False
    if space.categorical is not None:
        return CategoricalDistribution(range(len(values))), True
    return IntDistribution(0, len(values) - 1), True


def _is_listable(space: SearchSpace) -> bool:
    """Return whether a space is finite and small enough, without listing it."""
    bounds = space.uniform or space.log_uniform
    if bounds is None or not is_finite_space(space):
        return space.categorical is not None
    return (bounds.max - bounds.min) / _step(bounds) < _LISTED


def _step(bounds: Uniform | LogUniform) -> float:
    return (bounds.step if isinstance(bounds, Uniform) else None) or 1.0


def _log_distribution(bounds: LogUniform) -> BaseDistribution:
    if bounds.type is NumberType.INT:
        return IntDistribution(int(bounds.min), int(bounds.max), log=True)
    return FloatDistribution(bounds.min, bounds.max, log=True)


def _range_distribution(space: SearchSpace) -> BaseDistribution:
    bounds = space.uniform
    if bounds is None:
        raise ValueError(f"a range must be uniform here but got {space}")
    # Optuna wants the largest value to lie on a step, and warns when it does not.
    steps = math.floor((bounds.max - bounds.min) / _step(bounds) + _ROUNDING)
    if bounds.type is NumberType.INT:
        low, step = int(bounds.min), int(_step(bounds))
        return IntDistribution(low, low + steps * step, step=step)
    if bounds.step is None:
        return FloatDistribution(bounds.min, bounds.max)
    high = round(bounds.min + steps * bounds.step, 12)
    return FloatDistribution(bounds.min, high, step=bounds.step)
