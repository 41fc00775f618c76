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

__all__ = [
    "AbstractExecutor",
    "Done",
    "Event",
    "Failure",
    "Progress",
    "TeamMember",
    "WorkFunction",
]

WorkFunction = Callable[..., Generator[object, None, Any]]
"""`work(bench, **arguments)`: yields progress (plain picklable values), returns its value."""


@dataclass(frozen=True, slots=True)
class TeamMember:
    """Which part of a slot's team a process is."""

    rank: int
    """0 leads: only its progress and value are heard."""
    size: int
    address: str
    """`host:port` that was free on the leader's node a moment ago; empty in a team of one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a piece of work ended without a value."""

    failure_class: FailureClass
    message: str
    """One line, at most 256 characters: type, text and last frame of the user's code."""
    traceback: str
    error: TrainerError | None
    """The trainer's own error where it was one, to be raised again by the caller."""
    lost_peer: bool = False
    """Whether it only says that another member of the team is gone."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that running work yielded."""

    slot: int
    payload: object


@dataclass(frozen=True, slots=True)
class Done:
    """Work ended; value, failure and interrupted exclude each other."""

    slot: int
    value: Any
    failure: Failure | None
    interrupted: bool = False
    """Whether the work was closed because `interrupt` asked for it."""


Event = Progress | Done


class AbstractExecutor(ABC):
    """A fixed number of slots. One thread drives it; it is a context manager that closes itself.

    A slot has one process, or several of which the first leads. Each keeps a bench of its own.
    """

    @property
    @abstractmethod
    def slots(self) -> int:
        """Return how many pieces of work can run at once."""

    @property
    @abstractmethod
    def workers_per_slot(self) -> int:
        """Return how many processes a team has."""

    @property
    @abstractmethod
    def gpus_per_slot(self) -> float:
        """Return how many GPUs the processes of a slot hold together; a share counts as such."""

    @abstractmethod
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        """Start work in the first process of an idle slot.

        Raises:
            ValueError: The slot does not exist or is busy.
        """

    @abstractmethod
    def submit_team(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        """Start the same work in all processes of an idle slot at once.

        Each gets one more argument, `team`: a `TeamMember`. Only progress and value of rank 0
        are heard, and the slot is idle when all have ended. Where one fails or dies, its failure
        is the slot's, however the others notice it, and those that do not end by themselves
        are replaced.

        Raises:
            ValueError: The slot does not exist or is busy.
        """

    @abstractmethod
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Wait until something happened and yield it; end at once when no slot is busy.

        Yields the events that are there, then returns, so the caller decides whether to wait
        again. A slot is idle as soon as its `Done` has been yielded. A slot whose process died
        yields a `Done` with failure class NodeLost (or OOM where the cause is known). Whatever
        ended with class OOM leaves a fresh slot with a new bench.

        Args:
            timeout: Seconds to wait for the first event; None waits without limit.
        """

    @abstractmethod
    def is_waiting(self, slot: int) -> bool:
        """Return whether work in the slot has not begun because its process has no place yet.

        That is so in a cluster while a machine that was lost is being replaced.

        Raises:
            ValueError: The slot does not exist.
        """

    @abstractmethod
    def interrupt(self, slot: int) -> None:
        """Ask the work in the slot to end where it yields next; return at once.

        Its generator is closed there, so what it must clean up, it cleans up. The slot stays
        warm and yields `Done(interrupted=True)`, after the progress that was on its way; or
        another `Done`, if the work ended or failed before it heard. Of a team only the leader is
        asked; the others are replaced. Work that does not yield any more needs `stop`.

        An idle slot ignores it.

        Raises:
            ValueError: The slot does not exist.
        """

    @abstractmethod
    def stop(self, slot: int) -> None:
        """Kill what runs in the slot, without an event, and replace the slot by a fresh one.

        Raises:
            ValueError: The slot does not exist.
        """

    @abstractmethod
    def close(self) -> None:
        """End every slot and whatever was started for them; harmless when called twice."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _require_slot(self, slot: int) -> None:
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot must be in 0…{self.slots - 1} but got {slot}")
