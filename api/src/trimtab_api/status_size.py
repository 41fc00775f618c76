"""A status kept small enough for the object that carries it. Pure.

Called by `outcome` for every status. What goes first is what the report also has in full: points
of the front, then figures of stages, of trials and of the baseline, and at last of targets.
"""

from collections.abc import Callable, Iterator

from trimtab_api.v1alpha1.status import Status

__all__ = ["STATUS_LIMIT", "fit_status", "measure_status"]

STATUS_LIMIT = 32 * 1024
"""Bytes of a status as JSON."""


def measure_status(status: Status) -> int:
    """Return the size of a status as JSON, in bytes."""
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def fit_status(status: Status, *, limit: int = STATUS_LIMIT) -> Status:
    """Return the status without as many of its details as it takes to fit.

    Args:
        status: Any status.
        limit: Largest size as JSON, in bytes.
    """
    cuts = _iter_cuts(status)
    while measure_status(status) > limit:
        cut = next(cuts, None)
        if cut is None:
            break
        status = cut(status)
    return status


def _iter_cuts(status: Status) -> Iterator[Callable[[Status], Status]]:
    """Yield what takes details away, the most expendable first."""
    yield from (_drop_last_point for _ in status.pareto)
    yield _empty_stages
    yield _empty_best
    yield _empty_baseline
    yield _empty_targets


def _drop_last_point(status: Status) -> Status:
    return status.model_copy(update={"pareto": status.pareto[:-1]})


def _empty_stages(status: Status) -> Status:
    stages = tuple(stage.model_copy(update={"metrics": {}}) for stage in status.stages)
    return status.model_copy(update={"stages": stages})


def _empty_best(status: Status) -> Status:
    best = status.best.model_copy(update={"metrics": {}}) if status.best else None
    return status.model_copy(update={"best": best})


def _empty_baseline(status: Status) -> Status:
    baseline = status.baseline.model_copy(update={"metrics": {}}) if status.baseline else None
    return status.model_copy(update={"baseline": baseline})


def _empty_targets(status: Status) -> Status:
    targets = tuple(target.model_copy(update={"metrics": {}}) for target in status.targets)
    return status.model_copy(update={"targets": targets})
