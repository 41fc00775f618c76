"""How much in which step: the progress of each step, and the width that a ratio leaves.

Pure arithmetic, called by `prunable`, `sensitivity` and `iteration`.
"""

import math
from typing import assert_never

from trimtab_api.v1alpha1.prune import Curve

__all__ = ["plan_progress", "plan_width"]


def plan_progress(steps: int, curve: Curve) -> tuple[float, ...]:
    """Spread the way from a dense to a pruned model over steps.

    Cubic takes large steps first and small ones last, 1 - (1 - k/n)³, after Zhu and Gupta, To
    prune, or not to prune, 2017.

    Args:
        steps: number of steps, at least 1.
        curve: how progress grows.

    Returns:
        The part of the way, above 0, that is behind after each step; the last one is 1.
    """
    return tuple(_progress(step / steps, curve) for step in range(1, steps + 1))


def plan_width(width: int, ratio: float, *, max_layer_ratio: float, round_to: int) -> int:
    """Return how many of `width` parts stay when `ratio` of them shall go.

    The result is the nearest multiple of `round_to`, never below `round_to` and never so small
    that more than `max_layer_ratio` goes. A layer for which no such multiple exists stays as it
    is, and so does one that shall lose nothing. It never grows with the ratio.

    Args:
        width: parts of the dense layer.
        ratio: share to remove, 0…1.
        max_layer_ratio: largest share to remove, 0…1.
        round_to: at least 1.
    """
    if ratio <= 0:
        return width
    nearest = round_to * math.floor(width * (1 - ratio) / round_to + 0.5)
    # The small term forgives what floating point adds to exact products such as 64 * 0.25.
    fewest = round_to * math.ceil(width * (1 - max_layer_ratio) / round_to - 1e-9)
    return min(width, max(nearest, fewest, round_to))


def _progress(share: float, curve: Curve) -> float:
    match curve:
        case Curve.LINEAR:
            return share
        case Curve.CUBIC:
            return 1 - (1 - share) ** 3
        case _:
            assert_never(curve)
