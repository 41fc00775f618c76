"""The words that conditions and events use are there, each with its meaning."""

import pytest

from trimtab_api.events import EventReason, EventType
from trimtab_api.v1alpha1.conditions import CONDITION_REASONS, ConditionType

REASONS = {
    "Accepted": "SpecAccepted InvalidSpec ClaimNotFound StorageMissing",
    "Queued": "WaitingForQuota Evicted Admitted",
    "Scheduled": "PodsScheduled Unschedulable PodsPending PodsRefused",
    "ClusterReady": "WorkersReady Provisioning ImagePullFailed PodsWaiting HeadLost Stopped"
    " RayJobInvalid SubmissionFailed AppFailed StatusUnknown",
    "GoalsMet": "AllConstraintsMet AccuracyBudgetExceeded ConstraintMissed TargetUnmeasured"
    " NotMeasured",
    "Suspended": "SuspendedBySpec SuspendedByQueue Resumed",
    "Degraded": "KubeRayMissing Forbidden FieldConflict NameConflict ReportInvalid DriverStalled"
    " StorageFull StorageUnreachable Recovered",
    "Complete": "Finished StudyExtended",
    "Failed": "BackoffLimitExceeded DeadlineExceeded PreRunningDeadlineExceeded"
    " TooManyFailedTrials UserError DatasetUnavailable DatasetInvalid TrialLogCorrupt"
    " StudyMismatch",
}
"""What docs, alerts and people's scripts rely on; a word may be added, none is renamed."""

WARNINGS = (
    "InvalidSpec ClusterFailed TrialsFailing PrecisionFallback ConstraintMissed BudgetBelowNoise"
    " TargetUnmeasured SamplesSkipped CheckpointRefused ReportStale Degraded Failed"
)
NORMAL = (
    "Accepted Queued ClusterCreated StageStarted StageSucceeded StageCached StageSkipped NewBest"
    " CandidateRejected Suspended Resumed Retrying ChildRestored StudyExtended Completed"
)


def test_every_condition_has_its_reasons() -> None:
    found = {str(kind): set(map(str, words)) for kind, words in CONDITION_REASONS.items()}
    assert found == {kind: set(words.split()) for kind, words in REASONS.items()}
    assert set(CONDITION_REASONS) == set(ConditionType)


@pytest.mark.parametrize(
    ("kind", "words"), [(EventType.WARNING, WARNINGS), (EventType.NORMAL, NORMAL)]
)
def test_every_event_has_its_type(kind: EventType, words: str) -> None:
    assert {str(reason) for reason in EventReason if reason.type is kind} == set(words.split())


def test_reasons_are_words_that_kubernetes_takes() -> None:
    words = [*EventReason, *(word for reasons in CONDITION_REASONS.values() for word in reasons)]
    assert [word for word in words if not (word.isalnum() and word[0].isupper())] == []
