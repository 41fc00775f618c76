"""The progress report says what the run knows, whose it is, and fits what the operator reads."""

from datetime import UTC, datetime

from report_builder import make_report
from trimtab_api.margins import LimitKind, LimitMargin
from trimtab_api.progress import (
    GpuSaving,
    Outcome,
    OutcomeResult,
    ProgressReport,
    parse_progress,
)
from trimtab_api.progress_size import render_progress
from trimtab_api.reports import RetryReport, RunReport
from trimtab_api.stages import StageName, StageState
from trimtab_api.v1alpha1.conditions import DegradedReason, FailedReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass, TargetStatus
from trimtab_trainer.reporting._base import (
    Event,
    ProblemRaised,
    ProblemSolved,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from trimtab_trainer.reporting.progress_view import Identity, ProgressView
from trimtab_trainer.supervision import Snapshot

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
REPORT = make_report()


def make_view(*events: Event, report: RunReport | None = REPORT) -> ProgressView:
    view = ProgressView(Identity("uid-1", 3), Spec.model_validate(REPORT.manifest))
    for event in events:
        view.note(event)
    if report is not None:
        view.take(make_snapshot(report))
    return view


def make_snapshot(report: RunReport) -> Snapshot:
    measured = [TargetStatus(name="edge", node="worker-7", proxy=False)]
    return Snapshot(report.status, report.trials, report.candidates, measured)


def build(view: ProgressView) -> ProgressReport:
    return view.build(sequence=8, now=NOON)


def test_a_report_tells_whose_it_is_and_what_is_known() -> None:
    report = build(make_view())
    assert (report.uid, report.attempt, report.sequence) == ("uid-1", 3, 8)
    assert report.time == "2026-05-04T12:00:00+00:00"
    assert report.best == REPORT.status.best
    assert report.budget == REPORT.status.budget
    assert [entry.id for entry in report.candidates] == [entry.id for entry in REPORT.candidates]
    assert [(entry.name, entry.node) for entry in report.targets] == [("edge", "worker-7")]


def test_the_operator_reads_what_the_driver_wrote() -> None:
    view = make_view(StageStarted(StageName.SEARCH), TrialStarted(3, 0, {}, 5))
    view.end(Outcome(result=OutcomeResult.SUCCEEDED))
    report = build(view)
    assert parse_progress(render_progress(report)) == report


def test_before_the_first_snapshot_a_report_says_that_the_run_is_there() -> None:
    report = build(make_view(report=None))
    assert (report.trials, report.candidates, report.outcome) == (None, (), None)


def test_running_trials_show_their_last_epoch_and_go_when_they_end() -> None:
    started = [TrialStarted(16, 0, {}, 5), TrialStarted(17, 1, {}, None)]
    progress = TrialProgress(17, 1, 2, 0, dict.fromkeys("abcdef", 0.5))
    view = make_view(*started, progress)
    assert [(entry.trial, entry.epoch, entry.epochs) for entry in build(view).running] == [
        (16, 0, 5),
        (17, 2, None),
    ]
    assert len(build(view).running[1].metrics) == 4
    trials = build(view).trials
    assert trials is not None
    assert trials.running == 2
    view.note(TrialEnded(REPORT.trials[0].model_copy(update={"slot": 0})))
    assert [entry.trial for entry in build(view).running] == [17]
    view.note(StageEnded(StageName.SEARCH, StageState.SUCCEEDED))
    assert build(view).running == ()


def test_f52_a_problem_is_told_while_it_is_there() -> None:
    view = make_view(ProblemRaised(DegradedReason.STORAGE_FULL, "no room"))
    problem = build(view).problem
    assert problem is not None
    assert (problem.reason, problem.message) == (DegradedReason.STORAGE_FULL, "no room")
    view.note(ProblemSolved(DegradedReason.STORAGE_FULL, 3.0))
    assert build(view).problem is None


def test_the_end_says_how_and_why() -> None:
    view = make_view(ProblemRaised(DegradedReason.STORAGE_FULL, "no room"))
    outcome = Outcome(
        result=OutcomeResult.FAILED, reason=FailedReason.DATASET_INVALID, message="it is empty"
    )
    view.end(outcome)
    report = build(view)
    assert (report.outcome, report.problem, report.message) == (outcome, None, "it is empty")


def test_events_have_growing_numbers_and_only_the_last_ones_stay() -> None:
    view = make_view()
    for index in range(30):
        view.note(StageEnded(StageName.TRAIN, StageState.SUCCEEDED, message=f"{index}\n\x1b[31m"))
    events = build(view).events
    assert [event.id for event in events] == list(range(11, 31))
    assert events[-1].message == "train: 29 [31m"


def test_a_stage_that_goes_on_is_told_of_once() -> None:
    view = make_view()
    assert view.note(StageStarted(StageName.TRAIN, 5, 0)) is not None
    assert view.note(StageStarted(StageName.TRAIN, 5, 3)) is None


def test_the_message_is_what_the_stage_does_now() -> None:
    view = make_view(StageStarted(StageName.PRUNE))
    assert build(view).message == "prune runs"
    view.note(StageProgress(StageName.PRUNE, 1, 3, "step 1 of 3"))
    view.note(StageProgress(StageName.PRUNE, 1.5, 3))
    assert build(view).message == "step 1 of 3"


def test_counters_are_read_from_the_study_so_that_they_hold_over_attempts() -> None:
    retry = RetryReport(
        failure_class=FailureClass.NODE_LOST, message="gone", action=FailureAction.RETRY
    )
    trial = REPORT.trials[0].model_copy(update={"retries": (retry, retry)})
    stages = tuple(
        stage.model_copy(
            update={
                "start_time": "2026-05-04T10:00:00Z",
                "completion_time": "2026-05-04T10:01:30Z",
            }
        )
        for stage in REPORT.status.stages[:1]
    )
    status = REPORT.status.model_copy(update={"stages": stages})
    view = make_view(report=None)
    view.take(Snapshot(status, [trial]))
    counters = build(view).counters
    assert counters.retries == {FailureClass.NODE_LOST: 2}
    assert counters.stage_seconds == {StageName.SEARCH: 90.0}


def test_the_last_trial_is_told_with_its_objectives_first() -> None:
    trial = REPORT.trials[0]
    metrics = {**{f"own_{index:02d}": 0.5 for index in range(20)}, "accuracy": 0.75}
    last = trial.model_copy(update={"number": 9, "metrics": metrics})
    view = make_view(report=None)
    view.take(Snapshot(REPORT.status, [trial, last]))
    told = build(view).last_trial
    assert told is not None
    assert (told.trial, told.state, len(told.metrics)) == (9, last.state, 16)
    assert next(iter(told.metrics)) == "accuracy"
    assert build(make_view(report=None)).last_trial is None


def test_the_loss_scale_of_a_running_trial_is_told_and_its_objective_is_not_cut_off() -> None:
    metrics = dict.fromkeys("abcdef", 0.5) | {"accuracy": 0.75}
    view = make_view(TrialProgress(3, 0, 1, 5, metrics, 0.0, 65536.0))
    (running,) = build(view).running
    assert running.loss_scale == 65536.0
    assert running.metrics["accuracy"] == 0.75


def test_what_the_run_measured_of_itself_is_passed_on() -> None:
    margin = LimitMargin(metric="accuracy", target="edge", limit=LimitKind.MAX_DROP, value=0.5)
    saved = {GpuSaving.CACHE: 3.0}
    view = make_view(report=None)
    view.take(Snapshot(REPORT.status, margins=[margin], hypervolume=1.5, gpu_saved=saved))
    report = build(view)
    assert (report.margins, report.hypervolume) == ((margin,), 1.5)
    assert report.counters.gpu_seconds_saved == saved
    assert report.gpu_seconds == REPORT.status.gpu_seconds


def test_stages_that_ended_have_an_entry_of_their_own() -> None:
    entries = list(make_view().build_entries())
    assert {(entry.uid, entry.attempt) for entry in entries} == {("uid-1", 3)}
    assert [entry.stage.name for entry in entries] == [
        stage.name for stage in REPORT.status.stages if stage.state is not StageState.WAITING
    ]
