"""The terminal's reporters: plain lines in a pipe, bars on a terminal, the pace in both."""

import io
import itertools

import pytest
from rich.console import Console
from rich.progress import Progress
from typing_extensions import override

from report_builder import make_candidate, make_failed_report, make_report
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_cli.rendering.progress import LiveReporter, PlainReporter, open_reporter
from trimtab_cli.rendering.run_state import RunState
from trimtab_trainer.reporting._base import (
    CandidateMeasured,
    Event,
    NewBest,
    RunResumed,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
    WarningRaised,
)

TRIAL = make_report().trials[0]
FAILED = make_failed_report().trials[1]
FAILED_MESSAGE = "metric accuracy is missing; the task gave <loss> and f1"
RATE = {"train.learningRate": 0.003}
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
        (RunResumed(5, 2), "going on with attempt 2: 5 trials are done already"),
        (StageStarted(StageName.PRUNE), "prune: started"),
        (StageStarted(StageName.SEARCH, 16), "search: started, 16 trials"),
        (
            StageProgress(StageName.TRAIN, 3, 12, "epoch", {"accuracy": 0.9}),
            "train 25%: epoch, accuracy 90.00 %",
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
        (TrialEnded(FAILED), f"trial 1: failed, TrialError: {FAILED_MESSAGE} (1 done)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_each_event_is_one_plain_line(event: Event, line: str) -> None:
    assert print_lines(event) == [line]


def test_a_rejected_candidate_is_printed_with_the_reason() -> None:
    candidate = make_candidate("dense-int8", rejected="neither smaller nor faster")

    (line,) = print_lines(CandidateMeasured(candidate))

    assert line.endswith("rejected: neither smaller nor faster")


def test_a_trial_line_tells_what_is_left() -> None:
    *_, last = print_lines(*SEARCH, TrialStarted(1, 0, RATE, 4), TrialEnded(TRIAL))

    assert last.endswith("(2/4, about 1 min 00 s left)")


def test_trials_in_progress_print_nothing() -> None:
    assert print_lines(SEARCH[1], SEARCH[2]) == []


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
