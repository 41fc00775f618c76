"""A thread that brings the newest state of some keys to where they are read, however long it takes.

Used by the reporter of a cluster run, whose own thread must never wait. What was put while the
other side did not answer is sent as it is then; nothing is queued, and nothing is given up.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import final

from trimtab_trainer.reporting.config_map import ApiRefusedError
from trimtab_trainer.storage.patience import pauses

__all__ = ["Sender"]

_LOG = logging.getLogger(__name__)


@final
class Sender:
    """Started with the first `put`; ends with the process.

    Args:
        send: Brings keys there and returns all keys that are there; may raise ApiRefusedError.
        heard: Called in the thread with what `send` returned.
        waits: Gives the seconds between tries.
    """

    def __init__(
        self,
        send: Callable[[Mapping[str, str]], Mapping[str, str]],
        heard: Callable[[Mapping[str, str]], None],
        *,
        waits: Callable[[], Iterator[float]] = pauses,
    ) -> None:
        self._send = send
        self._heard = heard
        self._waits = waits
        self._changed = threading.Condition()
        self._pending: dict[str, str] = {}
        self._busy = False
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="report-sender", daemon=True)

    def put(self, keys: Mapping[str, str]) -> None:
        """Have these keys sent; a value that was not sent yet is replaced. Returns at once."""
        with self._changed:
            self._pending.update(keys)
            self._changed.notify_all()
        if not self._thread.is_alive() and not self._stopped:
            self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until everything is there, or for so many seconds; return whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._stopped or not (self._pending or self._busy), timeout
            )

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        waits = self._waits()
        while (keys := self._take()) is not None:
            try:
                there = self._send(keys)
            except ApiRefusedError as error:
                _LOG.warning("the report is not taken and will be sent again: %s", error)
                self._put_back(keys)
                self._pause(next(waits))
                continue
            waits = self._waits()
            self._heard(there)
            self._end()

    def _take(self) -> dict[str, str] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._pending)
            if self._stopped:
                return None
            keys, self._pending = self._pending, {}
            self._busy = True
            return keys

    def _put_back(self, keys: Mapping[str, str]) -> None:
        with self._changed:
            self._pending = {**keys, **self._pending}
            self._busy = False

    def _end(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)
