"""The jobs that wait for a pass: each key once, one pass per key at a time, with back-off.

Handlers and the resync add keys, workers take them. kopf's own retries are not used: a pass looks
at everything, so what counts is that it comes, not which event caused it.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trimtab_operator.cluster.cache import JobKey
from trimtab_operator.cluster.errors import ClusterError
from trimtab_operator.telemetry.logs import bind_job, get_logger

__all__ = ["Backoff", "WorkQueue"]

logger = get_logger(__name__)

_MOST_DOUBLINGS = 16
_SPREAD = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failing key waits, in seconds."""

    first: float
    longest: float

    def delay(self, failures: int, share: float) -> float:
        """Return the pause after so many failures in a row.

        Args:
            failures: At least 1.
            share: From 0 to 1: which part of the spread, so that keys do not come together.
        """
        doubled = self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(doubled, self.longest) * (0.5 + share / 2)


class WorkQueue:
    """Runs passes for keys, as soon as they are due."""

    def __init__(
        self,
        work: Callable[[JobKey], Awaitable[float | None]],
        backoff: Backoff,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty queue.

        Args:
            work: One pass; returns after how many seconds the next is due without any event.
            backoff: After passes that failed.
            monotonic: Seconds.
        """
        self._work = work
        self._backoff = backoff
        self._monotonic = monotonic
        self._due: dict[JobKey, float] = {}
        self._heap: list[tuple[float, JobKey]] = []
        self._active: dict[JobKey, float] = {}
        self._again: dict[JobKey, float] = {}
        self._failures: dict[JobKey, int] = {}
        self._not_before: dict[JobKey, float] = {}
        self._changed = asyncio.Event()

    def add(self, key: JobKey, delay: float = 0.0) -> None:
        """Ask for a pass after `delay` seconds, or earlier where one is due already.

        A key whose last pass failed waits for the end of its pause.
        """
        due = max(self._monotonic() + delay, self._not_before.get(key, 0.0))
        if key in self._active:
            self._again[key] = min(due, self._again.get(key, due))
            return
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    def depth(self) -> int:
        """Return how many keys are due now and wait for a worker; safe in any thread."""
        now = self._monotonic()
        # The copy is one step of the interpreter, in which no other thread adds a key.
        return sum(1 for due in list(self._due.values()) if due <= now)

    def longest_pass(self) -> float:
        """Return for how many seconds the oldest pass has been running; 0 without any."""
        now = self._monotonic()
        return max((now - start for start in self._active.values()), default=0.0)

    async def run(self, workers: int) -> None:
        """Take keys and run their passes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._take_forever())

    async def _take_forever(self) -> None:
        while True:
            key = await self._take()
            self._active[key] = self._monotonic()
            try:
                with bind_job(namespace=key.namespace, job=key.name):
                    delay = await self._run(key)
            finally:
                del self._active[key]
            again = self._again.pop(key, None)
            if again is not None:
                self.add(key, max(0.0, again - self._monotonic()))
            if delay is not None:
                self.add(key, delay)
            # Most passes wait for nothing: watches and probes must have their turn between them.
            await asyncio.sleep(0)

    async def _run(self, key: JobKey) -> float | None:
        try:
            delay = await self._work(key)
        except ClusterError as error:
            logger.warning("the pass failed", error=str(error))
            return self._fail(key, error.retry_after)
        except Exception:
            # A fault of ours in one job must not stop the others.
            logger.exception("the pass broke")
            return self._fail(key, 0.0)
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
        return delay

    def _fail(self, key: JobKey, retry_after: float) -> float:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = max(retry_after, self._backoff.delay(failures, _SPREAD.random()))
        self._not_before[key] = self._monotonic() + delay
        return delay

    async def _take(self) -> JobKey:
        while True:
            now = self._monotonic()
            while self._heap:
                due, key = self._heap[0]
                if self._due.get(key) != due:
                    heapq.heappop(self._heap)  # it was moved to an earlier time
                elif due <= now:
                    heapq.heappop(self._heap)
                    del self._due[key]
                    return key
                else:
                    break
            await self._wait(self._heap[0][0] - now if self._heap else None)

    async def _wait(self, seconds: float | None) -> None:
        self._changed.clear()
        try:
            # No task of its own: kopf cancels at its end what was started after it.
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
