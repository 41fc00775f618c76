"""What the events of a run mean to people who watch the job: reason and words. Pure.

Called by the progress view for each event; most of them are worth no event of Kubernetes.
"""

from trimtab_api.events import EventReason
from trimtab_api.stages import StageState
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.reporting._base import (
    CandidateMeasured,
    CheckpointRefused,
    Event,
    NewBest,
    PrecisionFallback,
    SamplesSkipped,
    StageEnded,
    StageStarted,
    TrialEnded,
    WarningRaised,
)

__all__ = ["describe_for_people"]

_ENDS = {
    StageState.SUCCEEDED: EventReason.STAGE_SUCCEEDED,
    StageState.CACHED: EventReason.STAGE_CACHED,
    StageState.SKIPPED: EventReason.STAGE_SKIPPED,
}
_NAMED_WARNINGS = (EventReason.BUDGET_BELOW_NOISE, EventReason.TARGET_UNMEASURED)
_MANY = 3
"""From so many failed trials on, each further one is told."""


def describe_for_people(event: Event, *, failed_trials: int) -> tuple[EventReason, str] | None:
    """Return the reason and the message of an event; None where it is not worth one.

    Args:
        event: What happened.
        failed_trials: How many trials failed so far, this one included.
    """
    match event:
        case StageStarted(stage):
            return EventReason.STAGE_STARTED, f"{stage} started"
        case StageEnded(stage, state, _, message) if state in _ENDS:
            return _ENDS[state], f"{stage}: {message}" if message else str(stage)
        case NewBest(number, metric, value):
            return EventReason.NEW_BEST, f"trial {number}: {metric} {value:.4g}"
        case CandidateMeasured(candidate) if candidate.rejected is not None:
            return EventReason.CANDIDATE_REJECTED, f"{candidate.id}: {candidate.rejected}"
        case TrialEnded(trial) if trial.state is TrialState.FAILED and failed_trials >= _MANY:
            cause = trial.failure.message if trial.failure else "no cause is known"
            return EventReason.TRIALS_FAILING, f"{failed_trials} trials failed; the last: {cause}"
        case PrecisionFallback(where, before, after):
            return EventReason.PRECISION_FALLBACK, f"{where} goes on in {after} instead of {before}"
        case SamplesSkipped(count, names):
            return EventReason.SAMPLES_SKIPPED, f"{count} samples: {', '.join(names)}"
        case CheckpointRefused(message):
            return EventReason.CHECKPOINT_REFUSED, message
        case WarningRaised(message):
            return _describe_warning(message)
        case _:
            return None


def _describe_warning(message: str) -> tuple[EventReason, str] | None:
    for reason in _NAMED_WARNINGS:
        if message.startswith(f"{reason}: "):
            return reason, message.removeprefix(f"{reason}: ")
    return None
