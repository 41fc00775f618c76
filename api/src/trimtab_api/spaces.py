"""The values of a search space: listed, counted, looked up and put into words; the grid's points.

Used by the defaults, the semantic checks and the trainer's search, so that all agree which points
there are. Drawing from a space is the search's business.
"""

import itertools
import json
import math
from collections.abc import Iterator, Sequence

from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.search import LogUniform, NumberType, Parameter, SearchSpace, Uniform

__all__ = [
    "describe_space",
    "find_value",
    "grid_points",
    "grid_size",
    "is_finite_space",
    "space_size",
    "space_values",
]


def is_finite_space(space: SearchSpace) -> bool:
    """Return whether a space has finitely many values that a grid would list."""
    if space.uniform is not None:
        return space.uniform.step is not None or space.uniform.type is NumberType.INT
    if space.log_uniform is not None:
        return space.log_uniform.type is NumberType.INT
    return True


def space_values(space: SearchSpace) -> Sequence[Scalar]:
    """Return the distinct values of a finite space, smallest or first choice first.

    Raises:
        ValueError: The space is not finite.
    """
    if space.categorical is not None:
        return _distinct(space.categorical.choices)
    bounds = space.uniform or space.log_uniform
    if bounds is None:
        raise ValueError(f"a search space must have exactly one kind but got {space}")
    return [_step_value(bounds, index) for index in range(space_size(space))]


def space_size(space: SearchSpace) -> int:
    """Return how many distinct values a finite space has, without listing a range.

    Raises:
        ValueError: The space is not finite.
    """
    if space.categorical is not None:
        return len(_distinct(space.categorical.choices))
    bounds = space.uniform or space.log_uniform
    if bounds is None or not is_finite_space(space):
        raise ValueError(f"a space of a grid must be finite but got {space}")
    # Half a thousandth of a step absorbs the rounding of the division, no more.
    return math.floor((bounds.max - bounds.min) / _step(bounds) + 5e-4) + 1


def _step_value(bounds: Uniform | LogUniform, index: int) -> float:
    value = bounds.min + _step(bounds) * index
    if bounds.type is NumberType.INT:
        return int(value)
    return min(max(round(value, 12), bounds.min), bounds.max)


def _step(bounds: Uniform | LogUniform) -> float:
    return (bounds.step if isinstance(bounds, Uniform) else None) or 1.0


def _distinct(choices: Sequence[Scalar]) -> list[Scalar]:
    """Drop repeats; 1, 1.0 and true are equal to Python but different choices."""
    return list({(type(choice), choice): choice for choice in choices}.values())


def grid_points(parameters: Sequence[Parameter]) -> Iterator[dict[str, Scalar]]:
    """Yield every point of a finite space once, the last parameter changing fastest.

    Raises:
        ValueError: A parameter's space is not finite.
    """
    names = [parameter.name for parameter in parameters]
    values = [space_values(parameter.search_space) for parameter in parameters]
    for point in itertools.product(*values):
        yield dict(zip(names, point, strict=True))


def grid_size(parameters: Sequence[Parameter]) -> int:
    """Return the number of points of a finite space.

    Raises:
        ValueError: A parameter's space is not finite.
    """
    return math.prod(space_size(parameter.search_space) for parameter in parameters)


def find_value(space: SearchSpace, value: Scalar) -> Scalar | None:
    """Return a value as the space lists it, or None where the space does not have it.

    A whole number may stand for the same fraction and the other way round in a range; among
    choices 1, 1.0 and true are different.
    """
    if space.categorical is not None:
        keys = {(type(choice), choice) for choice in space.categorical.choices}
        return value if (type(value), value) in keys else None
    bounds = space.uniform or space.log_uniform
    if bounds is None or isinstance(value, bool | str):
        return None
    if not bounds.min <= value <= bounds.max:
        return None
    if not is_finite_space(space):
        return float(value)
    nearest = _step_value(bounds, round((value - bounds.min) / _step(bounds)))
    return nearest if nearest == value else None


def describe_space(space: SearchSpace) -> str:
    """Return in words which values a space has: `one of 32, 64` or `from 0.1 to 0.5`."""
    if space.categorical is not None:
        return f"one of {', '.join(json.dumps(choice) for choice in space.categorical.choices)}"
    bounds = space.uniform or space.log_uniform
    if bounds is None:
        raise ValueError(f"a search space must have exactly one kind but got {space}")
    kind = "a whole number " if bounds.type is NumberType.INT else ""
    step = bounds.step if isinstance(bounds, Uniform) else None
    steps = f" in steps of {step:g}" if step is not None else ""
    return f"{kind}from {bounds.min:g} to {bounds.max:g}{steps}"
