"""The points that a search tries first, as the manifest lists them: checked and completed. Pure.

Called by the study when it is made. The same list gives the same points at every start, so that
a restart knows which of them were tried.
"""

from collections.abc import Mapping, Sequence

from trimtab_api.v1alpha1._types import Scalar
from trimtab_trainer.errors import UserError
from trimtab_trainer.search.samplers import draw_random
from trimtab_trainer.search.space import Point, Space

__all__ = ["complete_points"]


def complete_points(
    points: Sequence[Mapping[str, Scalar]], space: Space, *, seed: int
) -> list[Point]:
    """Return the points in their order; what one leaves out is what random search would draw.

    Args:
        points: `warmStart.points` of the manifest.
        space: What is searched.
        seed: The job's.

    Raises:
        UserError: A parameter is not searched, or a value is not in its space.
    """
    return [
        draw_random(space, seed, index) | _check_point(point, space, index)
        for index, point in enumerate(points)
    ]


def _check_point(point: Mapping[str, Scalar], space: Space, index: int) -> Point:
    return {name: _check_value(space, index, name, value) for name, value in point.items()}


def _check_value(space: Space, index: int, name: str, value: Scalar) -> Scalar:
    try:
        return space.admit_value(name, value)
    except ValueError as error:
        raise UserError(
            f"search.warmStart.points[{index}].{name} {error} but is {value!r}"
        ) from error
