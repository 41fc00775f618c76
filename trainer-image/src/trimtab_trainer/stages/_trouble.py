"""What storage does to a run: from its first refusal to the moment when it takes a write again.

Kept by the run for whatever writes, in this process or in a slot. It tells the reporter, and
remembers for the status.
"""

import time

from trimtab_trainer.reporting._base import AbstractReporter, ProblemRaised, ProblemSolved
from trimtab_trainer.storage.patience import StorageTrouble

__all__ = ["TroubleWatch"]


class TroubleWatch:
    """The trouble of the moment, if any, by who has it: a slot, or the driver."""

    def __init__(self, reporter: AbstractReporter) -> None:
        self._reporter = reporter
        self._since = 0.0
        self._troubles: dict[object, StorageTrouble] = {}
        self.last: StorageTrouble | None = None
        """The last one there was, over or not."""

    @property
    def current(self) -> StorageTrouble | None:
        """Return a trouble that is not over."""
        return next(iter(self._troubles.values()), None)

    def note(self, payload: object, source: object) -> bool:
        """Take what a source yielded; return whether it was trouble. Anything else ends its own."""
        if not isinstance(payload, StorageTrouble):
            self.clear(source)
            return False
        if self.current is None:
            self._since = time.monotonic()
            self._reporter.publish(ProblemRaised(payload.reason, payload.message))
        self._troubles[source] = self.last = payload
        return True

    def clear(self, source: object) -> None:
        """Note that storage took a write of a source, or that nobody waits there any more."""
        ended = self._troubles.pop(source, None)
        if ended is not None and self.current is None:
            waited = time.monotonic() - self._since
            self._reporter.publish(ProblemSolved(ended.reason, waited))
