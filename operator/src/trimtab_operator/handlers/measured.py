"""Passes that are timed and counted for the metrics.

Called by the assembly, around the reconciler.
"""

import time
from collections.abc import Awaitable, Callable

from trimtab_operator.cluster.cache import JobKey
from trimtab_operator.cluster.errors import ClusterError
from trimtab_operator.telemetry.metrics import PassLog

__all__ = ["measure"]

_OURS = "Internal"


def measure(
    work: Callable[[JobKey], Awaitable[float | None]],
    log: PassLog,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[JobKey], Awaitable[float | None]]:
    """Return a pass that also notes how long it took and how it failed, if it did.

    Args:
        work: The pass.
        log: Where it is noted.
        monotonic: Seconds.
    """

    async def run(key: JobKey) -> float | None:
        start = monotonic()
        try:
            delay = await work(key)
        except Exception as error:
            log.note(monotonic() - start, _name(error))
            raise
        log.note(monotonic() - start, None)
        return delay

    return run


def _name(error: Exception) -> str:
    """Return the kind of an error of the API server; all others are faults of ours."""
    is_known = isinstance(error, ClusterError)
    return type(error).__name__.removesuffix("Error") if is_known else _OURS
