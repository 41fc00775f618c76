"""An executor without processes: work runs step by step in the thread that asks for events.

Used by tests of whatever drives an executor. It keeps the promises of the interface, save that
work cannot run in parallel, be killed in the middle of a step, or be waited for with a limit.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from trimtab_trainer.execution._base import (
    AbstractExecutor,
    Done,
    Event,
    Failure,
    Progress,
    WorkFunction,
)
from trimtab_trainer.execution.failures import FailureTrap

__all__ = ["InProcessExecutor"]

_Steps = Generator[object, None, Any]


@final
class InProcessExecutor(AbstractExecutor):
    """Takes turns between the busy slots, one step of each."""

    def __init__(
        self, *, make_bench: Callable[[], object], slots: int, code_dir: Path | None = None
    ) -> None:
        self._make_bench = make_bench
        self._slots = slots
        self._code_dir = code_dir
        self._benches: dict[int, object] = {}
        self._busy: dict[int, _Steps] = {}

    @property
    @override
    def slots(self) -> int:
        return self._slots

    @override
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        if not 0 <= slot < self._slots:
            raise ValueError(f"slot must be in 0…{self._slots - 1} but got {slot}")
        if slot in self._busy:
            raise ValueError(f"slot {slot} must be idle but is busy")
        self._busy[slot] = self._start(slot, work, arguments)

    def _start(self, slot: int, work: WorkFunction, arguments: dict[str, object]) -> _Steps:
        """Make the bench only when the first step is asked for: its failure is the work's."""
        if slot not in self._benches:
            self._benches[slot] = self._make_bench()
        return (yield from work(self._benches[slot], **arguments))

    @override
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        for slot, steps in list(self._busy.items()):
            # The consumer may have stopped or refilled a slot meanwhile.
            if self._busy.get(slot) is steps:
                yield self._step(slot, steps)

    def _step(self, slot: int, steps: _Steps) -> Event:
        with FailureTrap(self._code_dir) as trap:
            try:
                return Progress(slot, next(steps))
            except StopIteration as end:
                return self._end(slot, value=end.value)
        return self._end(slot, failure=trap.failure)

    def _end(self, slot: int, *, value: object = None, failure: Failure | None = None) -> Done:
        del self._busy[slot]
        return Done(slot, value, failure)

    @override
    def stop(self, slot: int) -> None:
        steps = self._busy.pop(slot, None)
        self._benches.pop(slot, None)
        if steps is not None:
            steps.close()

    @override
    def close(self) -> None:
        for slot in list(self._busy):
            self.stop(slot)
