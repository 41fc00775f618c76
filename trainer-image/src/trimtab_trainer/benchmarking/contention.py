"""How much of its CPUs other programs took from a process, as the kernel counts it.

The measuring process (`probe`) asks while it times files. How long its own threads wait for a CPU
would not tell: threads of one runtime also wait for each other on an idle machine.
"""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

__all__ = ["ContentionMeter", "find_share", "read_busy_seconds"]

# user, nice, system; irq, softirq, steal. Idle and iowait lie between; guests are part of user.
_BUSY = (0, 1, 2, 5, 6, 7)


class ContentionMeter:
    """Counts from when it is made."""

    def __init__(self, cpus: Collection[int]) -> None:
        """Start to count on CPUs, all that this process runs on; none = it cannot be told."""
        self._cpus = tuple(cpus)
        self._busy = read_busy_seconds(self._cpus)
        self._own, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> float | None:
        """Return the share of the CPUs' time that others took, 0…1; None where nothing tells."""
        busy = read_busy_seconds(self._cpus)
        if busy is None or self._busy is None:
            return None
        return find_share(
            busy=busy - self._busy,
            own=time.process_time() - self._own,
            capacity=(time.perf_counter() - self._wall) * len(self._cpus),
            resolution=len(self._cpus) / os.sysconf("SC_CLK_TCK"),
        )


def find_share(*, busy: float, own: float, capacity: float, resolution: float) -> float | None:
    """Return the share of a time that others took; None where the counter stands still.

    Args:
        busy: Seconds that the CPUs computed, for whomever.
        own: Seconds of them that this process computed.
        capacity: Seconds that the CPUs could have computed.
        resolution: Seconds by which `busy` may be wrong; that much is no sign of others.
    """
    if busy <= 0:
        return None
    return min(max(busy - own - resolution, 0.0) / capacity, 1.0)


def read_busy_seconds(
    cpus: Collection[int], read: Callable[[], str] = Path("/proc/stat").read_text
) -> float | None:
    """Return how long CPUs computed since the machine started, the time stolen by its host too.

    Args:
        cpus: Their numbers.
        read: Gives the text of Linux's /proc/stat.

    Returns:
        Seconds of all of them together; None for no CPU, or where Linux does not tell.
    """
    try:
        rows = {name: ticks for name, *ticks in map(str.split, read().splitlines()) if ticks}
        counted = [int(rows[f"cpu{cpu}"][field]) for cpu in cpus for field in _BUSY]
    except (OSError, KeyError, IndexError):
        return None
    return sum(counted) / os.sysconf("SC_CLK_TCK") if counted else None
