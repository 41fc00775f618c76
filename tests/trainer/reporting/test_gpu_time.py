"""GPU time is read from study and stages, by what a slot holds, and never shrinks."""

from typing import Any

import pytest

from report_builder import make_trials
from trimtab_api.progress import GpuSaving
from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.status import StageStatus, TrialState
from trimtab_trainer.reporting.gpu_time import GpuTime, measure_gpu_time

EPOCH = EpochReport(epoch=1, metrics={"accuracy": 0.5}, seconds=1.0)


def make_trial(state: TrialState, seconds: float, **changes: Any) -> TrialReport:
    return TrialReport(number=0, state=state, parameters={}, seconds=seconds, **changes)


WHOLE = make_trial(TrialState.SUCCEEDED, 10.0)
SLOWER = make_trial(TrialState.SUCCEEDED, 30.0, intermediate=(EPOCH,))
STOPPED = make_trial(TrialState.STOPPED, 4.0)
REFUSED = make_trial(TrialState.INFEASIBLE, 1.0, violations={"params max 10": 5.0})


def make_stage(name: StageName, seconds: int) -> StageStatus:
    end = f"2026-05-04T10:00:{seconds:02d}Z"
    return StageStatus(name=name, start_time="2026-05-04T10:00:00Z", completion_time=end)


def measure(trials: list[TrialReport], gpus: float = 1.0, **more: Any) -> GpuTime:
    time = measure_gpu_time(gpus, trials, more.pop("stages", ()), **more)
    assert time is not None
    return time


def test_without_a_gpu_there_is_nothing_to_tell() -> None:
    assert measure_gpu_time(0.0, [WHOLE], ()) is None


def test_what_is_used_is_what_trials_and_training_stages_held() -> None:
    stages = [make_stage(StageName.TRAIN, 20), make_stage(StageName.BENCHMARK, 40)]
    waiting = StageStatus(name=StageName.PRUNE, start_time="2026-05-04T10:00:00Z")
    assert measure([WHOLE, STOPPED], 0.5, stages=[*stages, waiting]).used == 17.0


def test_trials_cut_short_spare_what_whole_ones_before_them_took() -> None:
    time = measure([STOPPED, WHOLE, STOPPED, SLOWER, REFUSED], 2.0)
    assert time.saved == {
        GpuSaving.EARLY_STOPPING: 2 * (10 - 4),
        GpuSaving.STATIC_CONSTRAINT: 2 * (20 - 1),
        GpuSaving.CACHE: 0.0,
    }
    assert time.summarize().saved == 50.0


def test_one_that_ran_out_of_memory_spares_nothing() -> None:
    given_up = make_trial(TrialState.INFEASIBLE, 1.0)
    assert measure([WHOLE, given_up]).summarize().saved == 0.0


def test_what_was_trained_before_and_is_taken_is_spared() -> None:
    time = measure([WHOLE, SLOWER], cached=[WHOLE], training=[EPOCH])
    assert time.saved[GpuSaving.CACHE] == 10 + 30
    assert measure([WHOLE, SLOWER], training=[]).saved[GpuSaving.CACHE] == 0.0


def test_totals_only_grow_as_trials_end() -> None:
    trials = [
        trial.model_copy(update={"state": TrialState.STOPPED}) if trial.number % 3 else trial
        for trial in make_trials(30)
    ]
    times = [measure(trials[:count]).summarize() for count in range(len(trials) + 1)]
    for totals in ([time.used for time in times], [time.saved for time in times]):
        assert totals == sorted(totals)
        assert totals[-1] == pytest.approx(max(totals))
