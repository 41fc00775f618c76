"""The time of a run: read once from the machine's clock, then moved on by one that never jumps.

Kept by the journal for the stamps in status and report, so that what is told between two of them
is the time that passed, whatever happens to the machine's clock meanwhile.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import final

__all__ = ["RunClock"]


def _read_machine() -> datetime:
    return datetime.now(tz=UTC)


@final
class RunClock:
    """A clock that begins now.

    Args:
        wall: Gives the machine's time; read once.
        steady: Seconds; only differences count.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = _read_machine,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steady = steady
        self._start = wall()
        self._started = steady()

    def stamp(self) -> str:
        """Return the time in whole seconds, as RFC 3339."""
        passed = timedelta(seconds=self._steady() - self._started)
        return (self._start + passed).isoformat(timespec="seconds").replace("+00:00", "Z")
