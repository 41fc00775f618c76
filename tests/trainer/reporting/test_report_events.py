"""What a run tells becomes an event for people only where it is worth one, with the right reason."""

import pytest

from candidate_builder import make_candidate
from trimtab_api.events import EventReason, EventType
from trimtab_api.reports import TrialFailure, TrialReport
from trimtab_api.stages import StageName, StageState
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.reporting._base import (
    CandidateMeasured,
    CheckpointRefused,
    Event,
    NewBest,
    PrecisionFallback,
    RunStarted,
    SamplesSkipped,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    WarningRaised,
)
from trimtab_trainer.reporting.report_events import describe_for_people

FAILED = TrialReport(
    number=2,
    state=TrialState.FAILED,
    parameters={},
    seconds=1.0,
    failure=TrialFailure(failure_class=FailureClass.OOM, message="no memory"),
)


@pytest.mark.parametrize(
    ("event", "reason", "words"),
    [
        (StageStarted(StageName.SEARCH), "StageStarted", "search started"),
        (StageEnded(StageName.TRAIN, StageState.SUCCEEDED), "StageSucceeded", "train"),
        (StageEnded(StageName.TRAIN, StageState.CACHED), "StageCached", "train"),
        (
            StageEnded(StageName.PRUNE, StageState.SKIPPED, message="not asked for"),
            "StageSkipped",
            "prune: not asked for",
        ),
        (NewBest(4, "accuracy", 0.91234, {}), "NewBest", "trial 4: accuracy 0.9123"),
        (PrecisionFallback("train", "fp16", "bf16"), "PrecisionFallback", "bf16 instead of fp16"),
        (SamplesSkipped(2, ("a.png", "b.png")), "SamplesSkipped", "2 samples: a.png, b.png"),
        (CheckpointRefused("epoch-3 has another hash"), "CheckpointRefused", "another hash"),
        (WarningRaised("BudgetBelowNoise: too small"), "BudgetBelowNoise", "too small"),
        (WarningRaised("TargetUnmeasured: edge: died"), "TargetUnmeasured", "edge: died"),
        (TrialEnded(FAILED), "TrialsFailing", "3 trials failed; the last: no memory"),
    ],
)
def test_what_people_should_know_is_an_event(event: Event, reason: str, words: str) -> None:
    told = describe_for_people(event, failed_trials=3)
    assert told is not None
    assert told[0] is EventReason(reason)
    assert told[1].endswith(words)


@pytest.mark.parametrize(
    "event",
    [
        RunStarted(),
        StageProgress(StageName.TRAIN, 1, 2, "epoch 1/2"),
        StageEnded(StageName.EXPORT, StageState.FAILED, message="it failed"),
        WarningRaised("training goes on in micro-batches of half the size"),
        CandidateMeasured(make_candidate("pruned")),
    ],
)
def test_what_is_no_news_or_the_operators_to_say_is_none(event: Event) -> None:
    assert describe_for_people(event, failed_trials=3) is None


def test_a_few_failed_trials_are_no_event() -> None:
    assert describe_for_people(TrialEnded(FAILED), failed_trials=2) is None


def test_a_rejected_candidate_is_named_with_the_figures() -> None:
    rejected = make_candidate("pruned").model_copy(update={"rejected": "neither smaller"})
    told = describe_for_people(CandidateMeasured(rejected), failed_trials=0)
    assert told == (EventReason.CANDIDATE_REJECTED, "pruned: neither smaller")
    assert told[0].type is EventType.NORMAL
