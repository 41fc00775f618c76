"""The reporter of a run in a cluster: progress goes to the report ConfigMap, wishes come back.

Called from the run's thread as its reporter and its supervisor. A report is made when the run asks
what is wanted, so a run that hangs falls silent and the operator notices. The network is the
sender's; nothing that fails there reaches the run.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import final

from typing_extensions import override

from trimtab_api.labels import KEY_CONTROL, KEY_PROGRESS, stage_key
from trimtab_api.progress import (
    ENTRY_LIMIT,
    Control,
    Outcome,
    StageEntry,
    parse_control,
)
from trimtab_api.progress_size import render_progress
from trimtab_api.untrusted import ReportInvalidError
from trimtab_trainer.reporting._base import (
    AbstractReporter,
    Event,
    ProblemRaised,
    ProblemSolved,
    RunStarted,
    StageEnded,
    StageStarted,
)
from trimtab_trainer.reporting.progress_view import ProgressView
from trimtab_trainer.reporting.sender import Sender
from trimtab_trainer.supervision import AbstractSupervisor, Snapshot, Wishes

__all__ = ["KubernetesReporter"]

_LOG = logging.getLogger(__name__)

_REPORT_SECONDS = 5.0
"""Not more often, but for a change of the stage."""
_HEARTBEAT_SECONDS = 15.0
"""So often also without news: it shows that the run is alive and brings the wishes."""
_LAST_REPORT_SECONDS = 60.0
"""How long the end waits for its report to be taken."""
_URGENT = (RunStarted, StageStarted, StageEnded, ProblemRaised, ProblemSolved)


@final
class KubernetesReporter(AbstractReporter, AbstractSupervisor):
    """Reports for one attempt.

    Args:
        view: What is reported.
        attempt: Its number.
        send: Sets keys of the ConfigMap and returns all of them; raises ApiRefusedError.
        clock: Seconds; only differences count.
    """

    def __init__(
        self,
        view: ProgressView,
        *,
        attempt: int,
        send: Callable[[Mapping[str, str]], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._attempt = attempt
        self._clock = clock
        self._sender = Sender(send, self._hear)
        self._sequence = 0
        self._posted_at: float | None = None
        self._has_news = True
        self._is_urgent = True
        self._entries: dict[str, str] = {}
        self._lock = threading.Lock()
        self._wishes = Wishes()
        self._missing: frozenset[str] = frozenset()

    @override
    def publish(self, event: Event) -> None:
        told = self._view.note(event)
        if told is not None:
            _LOG.info("%s: %s", told.reason, told.message)
        self._has_news = True
        self._is_urgent = self._is_urgent or isinstance(event, _URGENT)

    @override
    def ask(self, look: Callable[[], Snapshot]) -> Wishes:
        if self._is_due():
            self._view.take(look())
            self._post()
        with self._lock:
            return self._wishes

    def _is_due(self) -> bool:
        if self._is_urgent or self._posted_at is None:
            return True
        waited = self._clock() - self._posted_at
        return waited >= (_REPORT_SECONDS if self._has_news else _HEARTBEAT_SECONDS)

    def _post(self) -> None:
        self._sequence += 1
        report = self._view.build(sequence=self._sequence, now=datetime.now(tz=UTC))
        entries = {
            stage_key(entry.stage.name): _render_entry(entry)
            for entry in self._view.build_entries()
        }
        with self._lock:
            missing = self._missing
        fresh = {
            key: text
            for key, text in entries.items()
            if key in missing or self._entries.get(key) != text
        }
        self._entries = entries
        self._posted_at = self._clock()
        self._has_news = self._is_urgent = False
        self._sender.put({KEY_PROGRESS: render_progress(report), **fresh})

    def _hear(self, there: Mapping[str, str]) -> None:
        """Take what stands in the ConfigMap now; called in the sender's thread."""
        with self._lock:
            self._missing = frozenset(self._entries) - there.keys()
        text = there.get(KEY_CONTROL)
        if text is None:
            return
        try:
            control = parse_control(text)
        except ReportInvalidError as error:
            _LOG.warning("%s", error)
            return
        self._obey(control)

    def _obey(self, control: Control) -> None:
        if control.attempt > self._attempt:
            # The reports of a later attempt must not be written over; the fence ends the run.
            self._sender.stop()
        if control.attempt == self._attempt:
            with self._lock:
                self._wishes = Wishes(control.num_trials, control.parallel_trials, control.stop)

    def flush(self, timeout: float) -> bool:
        """Wait until what was reported is taken, or so many seconds; return whether it is."""
        return self._sender.flush(timeout)

    def abandon(self) -> None:
        """Report nothing more: a later attempt does."""
        self._sender.stop()

    def end(self, outcome: Outcome, *, timeout: float = _LAST_REPORT_SECONDS) -> bool:
        """Report how the run ended and wait for the report to be taken; return whether it was."""
        _LOG.info("%s", " ".join(filter(None, (outcome.result, outcome.reason, outcome.message))))
        self._view.end(outcome)
        self._post()
        return self.flush(timeout)


def _render_entry(entry: StageEntry) -> str:
    """Return the JSON of an entry, without figures where those are too many for its key."""
    text = entry.model_dump_json(by_alias=True, exclude_none=True)
    if len(text.encode()) <= ENTRY_LIMIT:
        return text
    stage = entry.stage.model_copy(update={"metrics": {}})
    return entry.model_copy(update={"stage": stage}).model_dump_json(
        by_alias=True, exclude_none=True
    )
