"""A training that goes on says so, and does not tell its earlier epochs as progress."""

from functools import partial
from pathlib import Path

import pytest

from job_runs import Recorder, make_search_job
from trimtab_api.stages import StageName
from trimtab_trainer.context import RunContext
from trimtab_trainer.execution.in_process import InProcessExecutor
from trimtab_trainer.reporting._base import Event, StageProgress, StageStarted
from trimtab_trainer.stages._base import Run
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.stages.train import TrainStage

EPOCHS = 4


def make_run(folder: Path, recorder: Recorder) -> Run:
    bench = partial(Bench, code_dir=folder, data_root=folder, cache_dir=folder / "cache")
    return Run(
        context=RunContext("tiny", "f" * 64, 1, folder, folder, folder, cores=1),
        job=make_search_job(train={"epochs": EPOCHS}),
        executor=InProcessExecutor(make_bench=bench, slots=1),
        reporter=recorder,
    )


def stop_after(epoch: int, event: Event) -> None:
    if isinstance(event, StageProgress) and event.done == epoch:
        raise KeyboardInterrupt


def messages(recorder: Recorder) -> list[str]:
    return [event.message for event in recorder.of(StageProgress) if event.message]


def test_epochs_of_an_earlier_start_are_reported_and_not_shown(tmp_path: Path) -> None:
    first = Recorder(on_event=partial(stop_after, 2))
    with pytest.raises(KeyboardInterrupt):
        TrainStage().run(make_run(tmp_path, first))
    assert messages(first) == ["epoch 1/4", "epoch 2/4"]

    second = Recorder()
    run = make_run(tmp_path, second)
    result = TrainStage().run(run)

    assert second.of(StageStarted) == [StageStarted(StageName.TRAIN, EPOCHS, 2)]
    assert messages(second) == ["epoch 3/4", "epoch 4/4"]
    assert [epoch.epoch for epoch in run.training] == [1, 2, 3, 4]
    assert result.message == "4 epochs"
