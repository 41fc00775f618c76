"""Where work runs: slots that execute one function at a time beside loaded data.

A slot keeps its bench (the loaded data set, cached models) between calls, so that the cost of
loading is paid once. Work is a module-level generator function: what it yields is progress, what
it returns is its value. Implemented by `ray_actors` (also locally) and `in_process` (tests).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Self

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import TrainerError

__all__ = ["AbstractExecutor", "Done", "Event", "Failure", "Progress", "WorkFunction"]

WorkFunction = Callable[..., Generator[object, None, Any]]
"""`work(bench, **arguments)`: yields progress (plain picklable values), returns its value."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a piece of work ended without a value."""

    failure_class: FailureClass
    message: str
    """One line, at most 256 characters: type, text and last frame of the user's code."""
    traceback: str
    error: TrainerError | None
    """The trainer's own error where it was one, to be raised again by the caller."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that running work yielded."""

    slot: int
    payload: object


@dataclass(frozen=True, slots=True)
class Done:
    """Work ended; exactly one of value and failure is meaningful."""

    slot: int
    value: Any
    failure: Failure | None


Event = Progress | Done


class AbstractExecutor(ABC):
    """A fixed number of slots. One thread drives it; it is a context manager that closes itself."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Return how many pieces of work can run at once."""

    @abstractmethod
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        """Start work in an idle slot.

        Raises:
            ValueError: The slot does not exist or is busy.
        """

    @abstractmethod
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Wait until something happened and yield it; end at once when no slot is busy.

        Yields the events that are there, then returns, so the caller decides whether to wait
        again. A slot is idle as soon as its `Done` has been yielded. A slot whose process died
        yields a `Done` with failure class NodeLost (or OOM where the cause is known) and is
        replaced by a fresh one.

        Args:
            timeout: Seconds to wait for the first event; None waits without limit.
        """

    @abstractmethod
    def stop(self, slot: int) -> None:
        """Kill what runs in the slot, without an event, and replace the slot by a fresh one."""

    @abstractmethod
    def close(self) -> None:
        """End every slot and whatever was started for them; harmless when called twice."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
