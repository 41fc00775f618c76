"""Writing to storage that may be full or away for a while: wait and try again, and say so.

Used by whatever stores something that must not be lost. A full disk or an unreachable share is
nobody's failure: the work waits until there is room or an answer, and its listeners hear of it.
"""

import errno
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from trimtab_api.v1alpha1.conditions import DegradedReason

__all__ = ["StorageTrouble", "is_passing", "patiently", "pauses"]

Result = TypeVar("Result")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_AWAY = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EREMOTEIO,
    }
)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class StorageTrouble:
    """Storage does not take what is written; it will be tried again."""

    reason: DegradedReason
    message: str


def pauses() -> Iterator[float]:
    """Yield seconds to wait between tries: doubled each time up to 30, with jitter.

    The jitter spreads out the tries of processes that were stopped by the same full disk.
    """
    pause = _FIRST_PAUSE
    while True:
        yield pause * (0.5 + 0.5 * _jitter())
        pause = min(2 * pause, _LONGEST_PAUSE)


def is_passing(error: OSError) -> bool:
    """Return whether an error passes by itself, so that waiting helps."""
    return _name_trouble(error) is not None


def _jitter() -> float:
    return secrets.randbelow(1000) / 1000


def patiently(
    write: Callable[[], Result],
    *,
    waits: Callable[[], Iterator[float]] = pauses,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[StorageTrouble, None, Result]:
    """Write until it works; yield each trouble before waiting for its end.

    Args:
        write: May be called again after it raised: it leaves nothing half done.
        waits: Gives the seconds between tries.
        sleep: Waits.

    Returns:
        What `write` returns.

    Raises:
        OSError: One that does not pass by itself, such as a missing permission.
    """
    for seconds in waits():
        try:
            return write()
        except OSError as error:
            trouble = _name_trouble(error)
            if trouble is None:
                raise
            yield trouble
        sleep(seconds)
    raise ValueError("waits must not end")


def _name_trouble(error: OSError) -> StorageTrouble | None:
    place = f" at {error.filename}" if error.filename else ""
    if error.errno in _FULL:
        return StorageTrouble(DegradedReason.STORAGE_FULL, f"{error.strerror}{place}")
    if error.errno in _AWAY:
        return StorageTrouble(DegradedReason.STORAGE_UNREACHABLE, f"{error.strerror}{place}")
    return None
