"""SIGTERM as a clean stop, as Ctrl-C is one: what service managers and `kill` send.

Used by `trimtab run`, around all that it does; commands that only read end as they always do.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "terminable"]


class Terminated(KeyboardInterrupt):
    """Stopped by SIGTERM; whoever cleans up after Ctrl-C cleans up after it too."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in a block where SIGTERM comes; only the main thread can.

    A second one is ignored, or it would cut off the cleaning up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
