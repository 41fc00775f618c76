"""What storage does to a run: from its first refusal to the moment when it takes a write again.

Kept by the run for whatever writes, in this process or in a slot. It tells the reporter, and
remembers for the status.
"""

import time

from trimtab_trainer.reporting._base import AbstractReporter, ProblemRaised, ProblemSolved
from trimtab_trainer.storage.patience import StorageTrouble

__all__ = ["TroubleWatch"]


class TroubleWatch:
    """The trouble of the moment, if any."""

    def __init__(self, reporter: AbstractReporter) -> None:
        self._reporter = reporter
        self._since = 0.0
        self.current: StorageTrouble | None = None
        self.last: StorageTrouble | None = None
        """The last one there was, over or not."""

    def note(self, payload: object) -> bool:
        """Take what work yielded; return whether it was trouble. Anything else ends a trouble."""
        if not isinstance(payload, StorageTrouble):
            self.clear()
            return False
        if self.current is None or self.current.reason is not payload.reason:
            self._since = time.monotonic()
            self._reporter.publish(ProblemRaised(payload.reason, payload.message))
        self.current = self.last = payload
        return True

    def clear(self) -> None:
        """Note that storage took a write."""
        if self.current is not None:
            waited = time.monotonic() - self._since
            self._reporter.publish(ProblemSolved(self.current.reason, waited))
            self.current = None
