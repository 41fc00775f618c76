"""SEAM of ray: one warm actor per slot, on a Ray that this process starts and ends.

Called by the pipeline. An actor loads its bench with the first work and keeps it, so a further
piece of work costs a millisecond. Which work runs where and what a failure means is left to the
callers; nobody else imports ray.
"""

import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from typing_extensions import override

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import EnvironmentMissingError
from trimtab_trainer.execution._base import (
    AbstractExecutor,
    Done,
    Event,
    Failure,
    Progress,
    WorkFunction,
)
from trimtab_trainer.execution.failures import (
    FailureTrap,
    describe_failure,
    describe_lost_worker,
)

__all__ = ["RayExecutor"]

_OBJECT_STORE_BYTES = 128 * 2**20
"""Only small values travel between slots; Ray's own default takes a third of the memory."""


class _Slot:
    """What runs in a slot's process. `run` yields payloads, and a `Done` as its last item."""

    def __init__(self, slot: int, threads: int, code_dir: Path | None) -> None:
        self._slot = slot
        self._threads = threads
        self._code_dir = code_dir
        self._bench: object = None
        if code_dir is not None:
            sys.path.insert(0, str(code_dir.resolve()))

    def run(
        self,
        make_bench: Callable[[], object],
        work: WorkFunction,
        arguments: dict[str, object],
    ) -> Generator[object, None, None]:
        """Do one piece of work; nothing that it raises leaves this process as an exception."""
        value = None
        with FailureTrap(self._code_dir) as trap:
            # Earlier work in this process may have changed it.
            torch.set_num_threads(self._threads)
            if self._bench is None:
                self._bench = make_bench()
            steps = work(self._bench, **arguments)
            # Ray sends values into a generator that streams, so delegating to the work would
            # fail where the work itself delegates to something that is no generator.
            while True:
                try:
                    payload = next(steps)
                except StopIteration as end:
                    value = end.value
                    break
                yield payload
        yield Done(self._slot, value, trap.failure)


@final
class RayExecutor(AbstractExecutor):
    """Slots that are processes of a local Ray.

    Args:
        slots: Pieces of work that run at once, one process each.
        make_bench: Called in a slot's process before its first work; travels with each piece of
            work, so it should be small. Its failure is that work's, and the next tries again.
        threads_per_slot: Threads that a slot computes with unless its work says otherwise.
        code_dir: Folder of the user's code, first on the path of every slot.

    Raises:
        EnvironmentMissingError: Ray cannot start here.
    """

    def __init__(
        self,
        *,
        slots: int,
        make_bench: Callable[[], object],
        threads_per_slot: int,
        code_dir: Path | None,
    ) -> None:
        self._make_bench = make_bench
        self._threads = threads_per_slot
        self._code_dir = code_dir
        self._running: dict[int, ray.ObjectRefGenerator[Any]] = {}
        _start_ray(slots, threads_per_slot)
        self._actors = [self._start_actor(slot) for slot in range(slots)]

    @property
    @override
    def slots(self) -> int:
        return len(self._actors)

    @override
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot must be in 0…{self.slots - 1} but got {slot}")
        if slot in self._running:
            raise ValueError(f"slot {slot} must be idle but is busy")
        method = self._actors[slot].run.options(num_returns="streaming")
        self._running[slot] = method.remote(self._make_bench, work, arguments)

    @override
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        for slot, items in self._wait(timeout):
            # The consumer may have stopped or refilled a slot meanwhile.
            if self._running.get(slot) is items:
                yield self._take(slot, items)

    def _wait(self, timeout: float | None) -> list[tuple[int, "ray.ObjectRefGenerator[Any]"]]:
        waiting = list(self._running.values())
        if not waiting or not ray.wait(waiting, num_returns=1, timeout=timeout)[0]:
            return []
        # The first one that is ready says nothing of the others; without asking for all of them
        # a chatty slot would keep the rest from being heard.
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return [(slot, items) for slot, items in self._running.items() if items in ready]

    def _take(self, slot: int, items: "ray.ObjectRefGenerator[Any]") -> Event:
        try:
            item = ray.get(next(items))
        except OutOfMemoryError as error:
            return self._replace(slot, describe_lost_worker(str(error), FailureClass.OOM))
        except RayActorError as error:
            return self._replace(slot, describe_lost_worker(str(error), FailureClass.NODE_LOST))
        except RayTaskError as error:
            # What the work yielded or returned cannot travel between processes.
            del self._running[slot]
            return Done(slot, None, describe_failure(error.cause, code_dir=self._code_dir))
        if isinstance(item, Done):
            del self._running[slot]
            return item
        return Progress(slot, item)

    def _replace(self, slot: int, failure: Failure) -> Done:
        self.stop(slot)
        return Done(slot, None, failure)

    @override
    def stop(self, slot: int) -> None:
        self._running.pop(slot, None)
        ray.kill(self._actors[slot])
        self._actors[slot] = self._start_actor(slot)

    def _start_actor(self, slot: int) -> Any:
        # Ray's type of a handle does not know methods that stream, hence Any.
        actor = ray.remote(_Slot).options(num_cpus=1, max_restarts=0)
        return actor.remote(slot, self._threads, self._code_dir)

    @override
    def close(self) -> None:
        self._running.clear()
        ray.shutdown()


def _start_ray(slots: int, threads: int) -> None:
    with _ray_environment(threads):
        try:
            ray.init(
                address="local",
                num_cpus=slots,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (RayError, RuntimeError, OSError, ValueError) as error:
            raise EnvironmentMissingError(f"a local Ray must start here but: {error}") from error


@contextmanager
def _ray_environment(threads: int) -> Iterator[None]:
    """Set what Ray and its workers read from the environment when they start."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Accelerators stay visible to slots that ask for none; without it Ray warns.
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
