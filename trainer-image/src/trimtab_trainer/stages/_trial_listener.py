"""From the search loop's words to the reporter's: what a running trial did, and why it failed.

Made by stage search for one search.
"""

from typing_extensions import override

from trimtab_api.reports import EpochReport, RetryReport
from trimtab_trainer.execution._base import Failure
from trimtab_trainer.reporting._base import (
    CheckpointRefused,
    PrecisionFallback,
    TrialProgress,
    TrialRetried,
    TrialStarted,
)
from trimtab_trainer.search.runner import AbstractTrialListener
from trimtab_trainer.search.study import Proposal
from trimtab_trainer.stages._base import Run
from trimtab_trainer.stages._fit import CheckpointNotice
from trimtab_trainer.training.loop import StepProgress

__all__ = ["TrialListener", "count_epochs"]


def count_epochs(run: Run, proposal: Proposal) -> int | None:
    """Return the length of a trial; None where it is given in steps."""
    train = run.spec_with(proposal.parameters).stages.train
    return train.epochs if train else None


class TrialListener(AbstractTrialListener):
    """Tells the reporter of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._last: dict[int, EpochReport] = {}

    @override
    def started(self, proposal: Proposal, slot: int) -> None:
        epochs = count_epochs(self._run, proposal)
        self._run.reporter.publish(TrialStarted(proposal.number, slot, proposal.parameters, epochs))

    @override
    def epoch_ended(self, proposal: Proposal, slot: int, epoch: EpochReport) -> None:
        self._run.trouble.clear(slot)
        self._last[proposal.number] = epoch
        self._publish_progress(proposal, slot, 0.0)
        numerics = epoch.numerics
        if numerics is not None and numerics.fallback_from is not None:
            self._run.reporter.publish(
                PrecisionFallback(
                    f"trial {proposal.number}", numerics.fallback_from, numerics.dtype
                )
            )

    @override
    def progressed(self, proposal: Proposal, slot: int, payload: object) -> None:
        if self._run.trouble.note(payload, slot):
            return
        if isinstance(payload, StepProgress):
            self._publish_progress(proposal, slot, payload.step / payload.steps)
        elif isinstance(payload, CheckpointNotice):
            self._run.reporter.publish(CheckpointRefused(payload.message))

    def _publish_progress(self, proposal: Proposal, slot: int, fraction: float) -> None:
        last = self._last.get(proposal.number)
        epoch = last.epoch if last else 0
        self._run.reporter.publish(
            TrialProgress(
                proposal.number,
                slot,
                epoch,
                count_epochs(self._run, proposal) or epoch,
                last.metrics if last else {},
                fraction,
                last.numerics.loss_scale if last and last.numerics else None,
            )
        )

    @override
    def failed(self, proposal: Proposal, failure: Failure) -> None:
        self._run.keep_traceback(f"trial-{proposal.number}", failure.traceback)

    @override
    def retried(self, proposal: Proposal, slot: int, retry: RetryReport) -> None:
        self._run.trouble.clear(slot)
        self._run.reporter.publish(
            TrialRetried(proposal.number, slot, retry.failure_class, retry.message, retry.action)
        )
