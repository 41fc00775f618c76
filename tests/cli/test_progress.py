"""The terminal's reporters: plain lines in a pipe, bars on a terminal, the pace in both."""

import io
import itertools

import pytest
from rich.console import Console
from rich.progress import Progress
from typing_extensions import override

from report_builder import make_candidate, make_failed_report, make_report
from trimtab_api.reports import TrialReport
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_cli.rendering.progress import LiveReporter, PlainReporter, open_reporter
from trimtab_cli.rendering.run_state import RunState
from trimtab_trainer.reporting._base import (
    CandidateMeasured,
    CheckpointRefused,
    Event,
    NewBest,
    PrecisionFallback,
    ProblemRaised,
    ProblemSolved,
    RunResumed,
    RunStarted,
    SamplesSkipped,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialRetried,
    TrialStarted,
    WarningRaised,
)

TRIAL = make_report().trials[0]
FAILED = make_failed_report().trials[1]
FAILED_MESSAGE = "metric accuracy is missing; the task gave <loss> and f1"
RATE = {"train.learningRate": 0.003}
FULL = DegradedReason.STORAGE_FULL
RETRIED = TrialRetried(1, 0, FailureClass.OOM, "out of memory", FailureAction.SHRINK_BATCH)
SEARCH: list[Event] = [
    StageStarted(StageName.SEARCH, 4),
    TrialStarted(0, 0, RATE, 4),
    TrialProgress(0, 0, 2, 4, {"accuracy": 0.5}),
    TrialEnded(TRIAL),
    NewBest(0, "accuracy", 0.93, RATE),
]


class Ticks:
    """A clock that gains ten seconds each time it is read."""

    def __init__(self) -> None:
        self._times = itertools.count(0, 10)

    def __call__(self) -> float:
        return next(self._times)


def print_lines(*events: Event) -> list[str]:
    stream = io.StringIO()
    reporter = PlainReporter(stream, metric="accuracy", clock=Ticks())
    for event in events:
        reporter.publish(event)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (RunStarted(), "starting workers"),
        (RunResumed(5, 2), "going on with attempt 2: 5 trials are done already"),
        (RunResumed(1, 2), "going on with attempt 2: 1 trial is done already"),
        (RunResumed(0, 2), "going on with attempt 2"),
        (StageStarted(StageName.PRUNE), "prune: started"),
        (StageStarted(StageName.TRAIN, 30, 9), "train: going on after epoch 9 of 30"),
        (StageStarted(StageName.TRAIN, None, 9), "train: going on after epoch 9"),
        (StageStarted(StageName.SEARCH, 16, 5), "search: started, 16 trials"),
        (StageStarted(StageName.SEARCH, 16), "search: started, 16 trials"),
        (
            StageProgress(StageName.TRAIN, 3, 12, "epoch 3/12", {"accuracy": 0.9}),
            "train 25 %: epoch 3/12, accuracy 90.00 %",
        ),
        (
            StageProgress(StageName.PRUNE, 12, 40, "measuring layer 12 of 40: conv3"),
            "prune 30 %: measuring layer 12 of 40: conv3",
        ),
        (
            StageEnded(StageName.PRUNE, StageState.SUCCEEDED, None, "51% removed", 75),
            "prune: done in 1 min 15 s: 51% removed",
        ),
        (
            StageEnded(StageName.PRUNE, StageState.SKIPPED, StageReason.NOT_REQUESTED),
            "prune: skipped, NotRequested",
        ),
        (
            StageEnded(StageName.TRAIN, StageState.CACHED, None, "12 epochs"),
            "train: taken from an earlier start: 12 epochs",
        ),
        (
            StageEnded(StageName.EXPORT, StageState.FAILED, StageReason.EXPORT_FAILED, "no Op"),
            "export: failed, ExportFailed: no Op",
        ),
        (
            CandidateMeasured(make_candidate("pruned")),
            "candidate pruned: accuracy 97.41 %; on edge 0.162 MiB, 0.0893 ms p50, 1.58×; accepted",
        ),
        (WarningRaised("BudgetBelowNoise"), "warning: BudgetBelowNoise"),
        (RETRIED, "trial 1: OOM: out of memory; runs again (ShrinkBatch)"),
        (ProblemRaised(FULL, "no room in runs"), "waiting, StorageFull: no room in runs"),
        (ProblemSolved(FULL, 190), "going on after 3 min 10 s: StorageFull is over"),
        (
            SamplesSkipped(3, ["cat/a.png", "dog/b.png"]),
            "3 samples cannot be read and left out: cat/a.png, dog/b.png, …",
        ),
        (SamplesSkipped(1, ["a.png"]), "1 sample cannot be read and left out: a.png"),
        (CheckpointRefused("epoch 3: wrong hash"), "checkpoint refused: epoch 3: wrong hash"),
        (
            PrecisionFallback("trial 4", "fp16", "bf16"),
            "trial 4: fp16 does not hold its numbers, goes on in bf16",
        ),
        (TrialEnded(FAILED), f"trial 1: failed, TrialError: {FAILED_MESSAGE} (1 done)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_each_event_is_one_plain_line(event: Event, line: str) -> None:
    assert print_lines(event) == [line]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (StageReason.NO_GAIN, "; rejected: 2 ms against 1 ms"),
        (StageReason.BUDGET_EXCEEDED, "; over the limit: 2 ms against 1 ms"),
        (None, "; over the limit: 2 ms against 1 ms"),
    ],
)
def test_what_keeps_a_candidate_from_shipping_is_printed(
    reason: StageReason | None, words: str
) -> None:
    candidate = make_candidate("dense-int8", rejected="2 ms against 1 ms", reason=reason)

    (line,) = print_lines(CandidateMeasured(candidate))

    assert line.endswith(words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"state": "Stopped", "metrics": {"accuracy": 0.5}},
            "stopped early after 12 epochs, accuracy 50.00 %",
        ),
        (
            {"state": "Infeasible", "violations": {"params max 2000": 300}, "metrics": {}},
            "infeasible after 4.6 s, over the limit: params max 2000 by 300",
        ),
        (
            {"violations": {"size_mib@edge max 2": 0.5}, "values": {"accuracy": 0.9}},
            "accuracy 90.00 % in 4.6 s, over the limit: size_mib@edge max 2 by 0.500 MiB",
        ),
        (
            {"state": "Infeasible", "failure": {"class": "OOM", "message": "out of memory"}},
            "infeasible, OOM: out of memory",
        ),
    ],
    ids=["stopped", "infeasible", "past a limit", "out of memory"],
)
def test_a_trial_line_tells_how_it_ended(fields: dict[str, object], words: str) -> None:
    plain = {**TRIAL.model_dump(by_alias=True), "values": {}}

    (line,) = print_lines(TrialEnded(TrialReport.model_validate({**plain, **fields})))

    assert line == f"trial 0: {words} (1 done)"


def test_a_trial_line_tells_what_is_left() -> None:
    *_, last = print_lines(*SEARCH, TrialStarted(1, 0, RATE, 4), TrialEnded(TRIAL))

    assert last.endswith("(2/4, about 1 min 00 s left)")


def test_what_moves_a_bar_alone_prints_nothing() -> None:
    assert print_lines(SEARCH[1], SEARCH[2], StageProgress(StageName.TRAIN, 1.5, 12)) == []


def test_a_closed_pipe_does_not_end_the_run() -> None:
    class ClosedPipe(io.StringIO):
        @override
        def write(self, _text: str, /) -> int:
            raise BrokenPipeError

    PlainReporter(ClosedPipe(), metric="accuracy").publish(WarningRaised("anything"))


def test_remaining_time_follows_the_pace_of_this_start_alone() -> None:
    state = RunState()
    state.apply(StageStarted(StageName.SEARCH, 10, 4), now=100)
    assert state.remaining(now=110) is None

    state.apply(TrialStarted(4, 0, RATE, 10), now=100)
    state.apply(TrialProgress(4, 0, 5, 10, {}), now=110)
    assert state.remaining(now=110) == pytest.approx(5.5 * 20)

    state.apply(TrialEnded(TRIAL.model_copy(update={"number": 4})), now=120)
    assert state.remaining(now=120) == pytest.approx(5 * 20)


def test_time_spent_waiting_says_nothing_of_the_pace() -> None:
    state = RunState()
    state.apply(StageStarted(StageName.SEARCH, 10), now=0)
    state.apply(TrialEnded(TRIAL), now=10)

    state.apply(ProblemRaised(FULL, "no room"), now=10)
    assert state.problem is not None
    state.apply(ProblemSolved(FULL, 500), now=510)

    assert state.problem is None
    assert state.remaining(now=510) == pytest.approx(9 * 10)


def test_each_part_of_a_stage_has_a_pace_of_its_own() -> None:
    state = RunState()
    state.apply(StageStarted(StageName.PRUNE), now=0)
    for done in (1, 2, 3, 4):
        state.apply(StageProgress(StageName.PRUNE, done, 4, "measuring"), now=done)
    assert state.remaining(now=4) == 0

    # A quarter of the first of three steps took 100 seconds.
    state.apply(StageProgress(StageName.PRUNE, 0.25, 3, "step 1 of 3"), now=104)

    assert state.remaining(now=104) == pytest.approx(100 * 2.75 / 0.25)


def test_an_epoch_that_is_under_way_counts_in_part() -> None:
    state = RunState()
    state.apply(StageStarted(StageName.SEARCH, 4), now=0)
    state.apply(TrialProgress(0, 0, 1, 4, {}, 0.5), now=1)

    assert state.running[0].position == 1.5
    assert state.position == pytest.approx(0.375)


def test_a_trial_that_runs_again_starts_over_and_is_counted() -> None:
    state = RunState()
    for event in (
        TrialStarted(1, 0, RATE, 4),
        TrialProgress(1, 0, 3, 4, {"accuracy": 0.5}),
        RETRIED,
    ):
        state.apply(event, now=0)
    assert (state.running[1].position, state.running[1].retries) == (0, 1)

    state.apply(TrialProgress(1, 0, 2, 4, {}), now=1)
    assert (state.running[1].position, state.running[1].retries) == (2, 1)


def test_bars_show_a_part_of_an_epoch_a_second_run_and_what_is_waited_for() -> None:
    bars = Progress(auto_refresh=False, console=Console(file=io.StringIO(), width=120))
    reporter = LiveReporter(bars, metric="accuracy", clock=Ticks())

    for event in (
        StageStarted(StageName.SEARCH, 4),
        TrialStarted(1, 0, RATE, 4),
        RETRIED,
        TrialProgress(1, 0, 1, 4, {"accuracy": 0.6}, 0.25),
        ProblemRaised(FULL, "no room in runs"),
    ):
        reporter.publish(event)

    run, _, trial = bars.tasks
    assert run.fields["note"] == "waiting, StorageFull: no room in runs"
    assert trial.completed == pytest.approx(1.25)
    assert trial.fields["note"] == "epoch 1/4, accuracy 60.00 %, run 2"

    reporter.publish(ProblemSolved(FULL, 10))
    assert run.fields["note"] == "0 of 6 stages"


def test_the_bar_of_the_run_says_that_it_starts_until_a_stage_does() -> None:
    bars = Progress(auto_refresh=False, console=Console(file=io.StringIO(), width=120))
    reporter = LiveReporter(bars, metric="accuracy", clock=Ticks())

    reporter.publish(RunStarted())
    assert bars.tasks[0].fields["note"] == "starting workers"

    reporter.publish(StageStarted(StageName.SEARCH, 4))
    assert bars.tasks[0].fields["note"] == "0 of 6 stages"


def test_a_training_that_goes_on_has_the_pace_of_this_start_alone() -> None:
    state = RunState()
    state.apply(StageStarted(StageName.TRAIN), now=0)
    state.apply(StageStarted(StageName.TRAIN, 30, 10), now=0)
    assert (state.position, state.remaining(now=1)) == (10, None)

    state.apply(StageProgress(StageName.TRAIN, 11, 30, "epoch 11/30"), now=5)
    assert state.remaining(now=5) == pytest.approx(19 * 5)


def test_the_bar_of_a_stage_says_what_it_is_doing() -> None:
    bars = Progress(auto_refresh=False, console=Console(file=io.StringIO(), width=120))
    reporter = LiveReporter(bars, metric="accuracy", clock=Ticks())

    reporter.publish(StageProgress(StageName.PRUNE, 12, 40, "measuring layer 12 of 40: conv3"))
    reporter.publish(StageProgress(StageName.PRUNE, 12.5, 40))
    _, stage = bars.tasks
    assert (stage.completed, stage.total) == (12.5, 40)
    assert stage.fields["note"].startswith("measuring layer 12 of 40: conv3, about")

    reporter.publish(StageStarted(StageName.QUANTIZE))
    assert stage.fields["note"] == ""


def test_bars_show_the_stage_its_trials_and_the_best() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    bars = Progress(auto_refresh=False, console=console)
    reporter = LiveReporter(bars, metric="accuracy", clock=Ticks())

    for event in [
        *SEARCH,
        TrialStarted(1, 0, RATE, 4),
        TrialProgress(1, 0, 1, 4, {"accuracy": 0.6}),
    ]:
        reporter.publish(event)

    run, stage, trial = bars.tasks
    assert run.fields["note"] == "0 of 6 stages"
    assert run.completed == pytest.approx(1.25 / 4)
    assert (stage.description, stage.total, stage.completed) == ("  search", 4, 1.25)
    assert "best accuracy 93.00 % by trial 0" in stage.fields["note"]
    assert "left" in stage.fields["note"]
    assert trial.fields["note"] == "epoch 1/4, accuracy 60.00 %"


def test_bars_of_ended_trials_go_and_lasting_lines_stay() -> None:
    stream = io.StringIO()
    bars = Progress(
        auto_refresh=False, console=Console(file=stream, force_terminal=True, width=200)
    )
    reporter = LiveReporter(bars, metric="accuracy", clock=Ticks())

    end = StageEnded(StageName.SEARCH, StageState.SUCCEEDED, None, "4 trials", 40)
    for event in [*SEARCH, TrialEnded(FAILED), end]:
        reporter.publish(event)

    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("new best: accuracy 93.00 % by trial 0: train.learningRate 0.003")
    assert lines[1].startswith("trial 1: failed, TrialError")
    assert lines[2] == "search: done in 40 s: 4 trials"
    assert len(bars.tasks) == 2
    assert bars.tasks[0].completed == 1


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter("accuracy") as reporter:
        reporter.publish(WarningRaised("anything"))

    assert capsys.readouterr().out == "warning: anything\n"


def test_a_terminal_gets_bars_that_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with open_reporter("accuracy") as reporter:
        assert isinstance(reporter, LiveReporter)
        reporter.publish(SEARCH[0])
