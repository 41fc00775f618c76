"""How a piece of work of one or several processes ended, from how each of them ended. Pure.

Called by the executor, which tells the ends as they come and replaces the processes named here.
A member that waits for a lost one fails too, often sooner than the loss itself is known; such an
echo is never the cause while a better one may still come.
"""

from typing import final

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.execution._base import Done, Failure

__all__ = ["PATIENCE_SECONDS", "TeamWatch"]

PATIENCE_SECONDS = 5.0
"""How long members may go on once one has failed or the leader has ended.

Members that talk to each other end within milliseconds of each other; the death of a process is
known after a second or two.
"""

_GONE = frozenset({FailureClass.NODE_LOST, FailureClass.PREEMPTED})


@final
class TeamWatch:
    """Who of one slot's team has ended, and how. Times are seconds of one clock of the caller.

    Args:
        slot: Whose `Done` it makes.
        size: Number of members; rank 0 leads.
    """

    def __init__(self, slot: int, size: int) -> None:
        self._slot = slot
        self._size = size
        self._ends: dict[int, Done] = {}
        self._cause: Failure | None = None
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """Return until when the others are waited for; None = without limit."""
        return self._deadline

    def note(self, rank: int, end: Done, now: float) -> None:
        """Take in how a member ended; a process that died ended with a failure."""
        self._ends[rank] = end
        if end.failure is not None and not self._has_answer():
            self._cause = _choose_cause(self._cause, end.failure)
        if end.interrupted or _is_preempted(end.failure):
            self._deadline = now
        elif self._deadline is None and (rank == 0 or end.failure is not None):
            self._deadline = now + PATIENCE_SECONDS

    def conclude(self, now: float) -> Done | None:
        """Return how the work ended, or None while there is someone to wait for.

        What the leader returned counts, unless another member had failed before by itself.
        """
        if len(self._ends) < self._size and (self._deadline is None or now < self._deadline):
            return None
        if self._has_answer() and (self._cause is None or self._cause.lost_peer):
            return self._ends[0]
        return Done(self._slot, None, self._cause)

    def find_unfit(self) -> list[int]:
        """Return the ranks whose processes must not be used again.

        They still run, died, leave with their machine, or were cut off in the middle of an
        exchange; after too little memory it is all of them.
        """
        failures = {rank: end.failure for rank, end in self._ends.items()}
        if any(
            failure and failure.failure_class is FailureClass.OOM for failure in failures.values()
        ):
            return list(range(self._size))
        fit = [
            rank
            for rank, failure in failures.items()
            if failure is None or failure.failure_class not in _GONE
        ]
        return [rank for rank in range(self._size) if rank not in fit]

    def _has_answer(self) -> bool:
        return 0 in self._ends and self._ends[0].failure is None


def _is_preempted(failure: Failure | None) -> bool:
    return failure is not None and failure.failure_class is FailureClass.PREEMPTED


def _choose_cause(first: Failure | None, later: Failure) -> Failure:
    if first is None or (first.lost_peer and not later.lost_peer):
        return later
    return first
