"""A run's times fit together, whatever happens to the clock of its machine meanwhile."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from typing_extensions import override

from in_process_jobs import run_job
from job_runs import LEARNING_RATE, Recorder
from trimtab_api.reports import RunReport
from trimtab_api.stages import StageName
from trimtab_trainer import run_clock
from trimtab_trainer.reporting._base import Event, StageEnded, StageStarted, TrialEnded
from trimtab_trainer.run_clock import RunClock

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)


class SetBack(datetime):
    """The machine's clock, which can be set."""

    offset = timedelta()

    @classmethod
    @override
    def now(cls, tz: object = None) -> datetime:
        return datetime.now(tz=UTC) + cls.offset


@pytest.mark.parametrize("jump", [-TEN_MINUTES, TEN_MINUTES], ids=["back", "ahead"])
def test_f14_a_jump_of_the_machine_s_clock_is_no_time_that_passed(jump: timedelta) -> None:
    times = iter([NOON, NOON + jump])
    seconds = iter([5.0, 5.0, 8.0])
    clock = RunClock(lambda: next(times), lambda: next(seconds))
    assert clock.stamp() == "2026-05-04T12:00:00Z"
    assert clock.stamp() == "2026-05-04T12:00:03Z"


@pytest.fixture(scope="module")
def jumped(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunReport, Recorder, float]:
    """Run a job whose machine's clock jumps ahead and back; return the real seconds, too."""
    machine, begun = time.time, time.monotonic()
    jumps = itertools.cycle([TEN_MINUTES, -2 * TEN_MINUTES])

    def jump(event: Event) -> None:
        if isinstance(event, StageStarted | TrialEnded):
            SetBack.offset += next(jumps)

    recorder = Recorder(on_event=jump)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SetBack, "offset", timedelta())
        patch.setattr(run_clock, "datetime", SetBack)
        patch.setattr(time, "time", lambda: machine() + SetBack.offset.total_seconds())
        search = {
            "algorithm": {"random": {}},
            "numTrials": 3,
            "parameters": [LEARNING_RATE],
            "trialTimeoutSeconds": 60,
        }
        stages = {"search": search, "train": {"epochs": 1}, "benchmark": {"repeats": 5}}
        folder = tmp_path_factory.mktemp("run")
        report = run_job(folder, patch, reporter=recorder, stages=stages)
    return report, recorder, time.monotonic() - begun


def test_f14_stages_take_the_time_that_passed(jumped: tuple[RunReport, Recorder, float]) -> None:
    report, recorder, took = jumped
    status = report.status
    stages = [stage for stage in status.stages if stage.completion_time]
    assert {StageName.SEARCH, StageName.TRAIN, StageName.BENCHMARK} <= {s.name for s in stages}
    stamps = [status.start_time, *(t for s in stages for t in (s.start_time, s.completion_time))]
    times = [datetime.fromisoformat(stamp or "") for stamp in [*stamps, status.completion_time]]
    assert all(later >= earlier for earlier, later in pairwise(times))
    assert (times[-1] - times[0]).total_seconds() <= took + 1
    assert all(0 <= event.seconds <= took for event in recorder.of(StageEnded))


def test_f14_trials_take_the_time_that_passed_and_none_is_silent_for_too_long(
    jumped: tuple[RunReport, Recorder, float],
) -> None:
    report, _, took = jumped
    assert [(trial.number, trial.state, trial.retries) for trial in report.trials] == [
        (number, "Succeeded", ()) for number in range(3)
    ]
    starts = [trial.start_seconds for trial in report.trials]
    assert starts == sorted(starts)
    assert all(0 <= trial.seconds <= took for trial in report.trials)
    assert all(0 <= epoch.seconds <= took for t in report.trials for epoch in t.intermediate)
