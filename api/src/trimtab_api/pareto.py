"""The candidates that are worth a look: the Pareto front over what a job asks for. Pure.

Called by `summary` for the status, and by the trainer for the report.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from trimtab_api.metrics import KNOWN_METRICS, MetricScope, metric_key
from trimtab_api.reports import CandidateReport
from trimtab_api.selection import metric_direction
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import ParetoPoint

__all__ = ["find_front", "measure_hypervolume"]

# How far a point may reach in each metric, where the dense model reaches 1.
_FARTHEST = 2.0


def find_front(
    candidates: Sequence[CandidateReport], baseline: Mapping[str, float], spec: Spec
) -> tuple[ParetoPoint, ...]:
    """Return the candidates that no other beats in every metric that the job names.

    Args:
        candidates: Measured candidates; one without one of these metrics is left out.
        baseline: Metrics of the dense model; one that it lacks is not shown.
        spec: The job; where it names no metric of a target, speed and size are added.
    """
    keys = list(_list_keys(spec))
    points = [
        (candidate, [sign * candidate.metrics[key] for key, sign in keys])
        for candidate in candidates
        if all(key in candidate.metrics for key, _ in keys)
    ]
    front = [
        candidate
        for candidate, mine in points
        if not any(_dominates(other, mine) for _, other in points)
    ]
    return tuple(
        ParetoPoint(
            id=candidate.id,
            feasible=candidate.feasible,
            metrics={key: candidate.metrics[key] for key, _ in keys if key in baseline},
        )
        for candidate in front
    )


def measure_hypervolume(
    front: Sequence[ParetoPoint], baseline: Mapping[str, float], spec: Spec
) -> float | None:
    """Return the quality of a front in one figure: 1 where it is the dense model alone.

    It is the volume that the points dominate. In a metric to maximize a point reaches as far as
    its share of the baseline's value, in one to minimize as far as 2 less that share; nothing
    reaches farther than 2, and what is twice as bad as the baseline counts nothing.

    Args:
        front: As `find_front` returns it.
        baseline: Metrics of the dense model.
        spec: The job.

    Returns:
        The volume; None where no metric of the front can be compared with the baseline.
    """
    keys = [key for key in front[0].metrics if baseline.get(key, 0.0) > 0] if front else []
    if not keys:
        return None
    boxes = [
        tuple(_reach(key, point.metrics[key] / baseline[key], spec) for key in keys)
        for point in front
    ]
    return _unite(boxes)


def _reach(key: str, share: float, spec: Spec) -> float:
    direction = metric_direction(key.partition("@")[0], spec.objectives)
    reach = share if direction is Direction.MAXIMIZE else _FARTHEST - share
    return min(max(reach, 0.0), _FARTHEST)


def _unite(boxes: Sequence[Sequence[float]]) -> float:
    """Return the volume of boxes that share a corner, by what each adds to those after it."""
    if not boxes:
        return 0.0
    first, *rest = boxes
    shared = [tuple(map(min, first, other)) for other in rest]
    return math.prod(first) - _unite(shared) + _unite(rest)


def _list_keys(spec: Spec) -> Iterator[tuple[str, int]]:
    """Yield metric keys with +1 to maximize or -1 to minimize; speed and size if none is named."""
    named = dict.fromkeys(
        [objective.metric for objective in spec.objectives]
        + [constraint.metric for constraint in spec.constraints]
    )
    scopes = {name: KNOWN_METRICS[name].scope for name in named if name in KNOWN_METRICS}
    if MetricScope.TARGET not in scopes.values():
        named |= dict.fromkeys(("latency_p50_ms", "size_mib"))
    first = spec.targets[0].name
    for name in named:
        known = KNOWN_METRICS.get(name)
        target = first if known is not None and known.scope is MetricScope.TARGET else None
        if known is None and name not in {objective.metric for objective in spec.objectives}:
            continue
        direction = metric_direction(name, spec.objectives)
        yield metric_key(name, target), 1 if direction is Direction.MAXIMIZE else -1


def _dominates(other: Sequence[float], mine: Sequence[float]) -> bool:
    pairs = list(zip(other, mine, strict=True))
    return all(theirs >= ours for theirs, ours in pairs) and any(
        theirs > ours for theirs, ours in pairs
    )
