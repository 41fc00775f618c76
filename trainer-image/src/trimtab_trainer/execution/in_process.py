"""An executor without processes: work runs step by step in the thread that asks for events.

Used by tests of whatever drives an executor. It keeps the promises of the interface, save that
work cannot run in parallel, be killed in the middle of a step, or be waited for with a limit. A
team has one member.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.execution._base import (
    AbstractExecutor,
    Done,
    Event,
    Progress,
    TeamMember,
    WorkFunction,
)
from trimtab_trainer.execution.failures import FailureTrap

__all__ = ["InProcessExecutor"]


@dataclass(slots=True)
class _Running:
    steps: Generator[object, None, Any]
    interrupted: bool = False


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
        self._busy: dict[int, _Running] = {}

    @property
    @override
    def slots(self) -> int:
        return self._slots

    @property
    @override
    def workers_per_slot(self) -> int:
        return 1

    @property
    @override
    def gpus_per_slot(self) -> float:
        return 0.0

    @override
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        self._require_slot(slot)
        if slot in self._busy:
            raise ValueError(f"slot {slot} must be idle but is busy")
        self._busy[slot] = _Running(self._start(slot, work, arguments))

    @override
    def submit_team(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        self.submit(slot, work, team=TeamMember(rank=0, size=1, address=""), **arguments)

    def _start(
        self, slot: int, work: WorkFunction, arguments: dict[str, object]
    ) -> Generator[object, None, Any]:
        """Make the bench only when the first step is asked for: its failure is the work's."""
        if slot not in self._benches:
            self._benches[slot] = self._make_bench()
        return (yield from work(self._benches[slot], **arguments))

    @override
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        for slot, running in list(self._busy.items()):
            # The consumer may have stopped or refilled a slot meanwhile.
            if self._busy.get(slot) is running:
                yield self._step(slot, running)

    def _step(self, slot: int, running: _Running) -> Event:
        with FailureTrap(self._code_dir) as trap:
            try:
                if not running.interrupted:
                    return Progress(slot, next(running.steps))
                running.steps.close()
            except StopIteration as end:
                return self._end(Done(slot, end.value, None))
            return self._end(Done(slot, None, None, interrupted=True))
        return self._end(Done(slot, None, trap.failure))

    def _end(self, done: Done) -> Done:
        del self._busy[done.slot]
        if done.failure is not None and done.failure.failure_class is FailureClass.OOM:
            self._benches.pop(done.slot, None)
        return done

    @override
    def is_waiting(self, slot: int) -> bool:
        self._require_slot(slot)
        return False

    @override
    def interrupt(self, slot: int) -> None:
        self._require_slot(slot)
        if slot in self._busy:
            self._busy[slot].interrupted = True

    @override
    def stop(self, slot: int) -> None:
        self._require_slot(slot)
        running = self._busy.pop(slot, None)
        self._benches.pop(slot, None)
        if running is not None:
            running.steps.close()

    @override
    def close(self) -> None:
        for slot in list(self._busy):
            self.stop(slot)
