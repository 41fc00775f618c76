"""Whole searches on a local Ray: what a trial may meet, and how a study goes on later."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from job_runs import LEARNING_RATE, Recorder, condition, make_search_job, run
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.conditions import ConditionType, DegradedReason
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.reporting._base import (
    Event,
    ProblemRaised,
    ProblemSolved,
    TrialProgress,
    TrialRetried,
)
from unruly import refuse_writes

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SUPPORT = Path(__file__).parents[1] / "support"


DEEDS = {
    "die 50": (FailureClass.NODE_LOST, FailureAction.RETRY),
    "exhaust 50": (FailureClass.OOM, FailureAction.SHRINK_BATCH),
    "hang 50": (FailureClass.TIMEOUT, FailureAction.RETRY),
    "fill 25": None,
}
"""What a network does on which pass, and what follows; a disk that is full fails no trial."""


@pytest.fixture(scope="module")
def unruly(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunReport, Recorder, Path]:
    """One run in which each trial misbehaves in a way of its own."""
    folder = tmp_path_factory.mktemp("unruly")
    cues = []
    for deed in DEEDS:
        cue = folder / deed.partition(" ")[0] / "cue"
        cue.parent.mkdir()
        cue.write_text(deed)
        cues.append(str(cue))
    choices = {"name": "model.args.cue", "searchSpace": {"categorical": {"choices": cues}}}
    job = make_search_job(
        model={"entrypoint": "unruly:build", "args": {"cue": cues[0]}},
        search={
            "algorithm": {"grid": {}},
            "numTrials": len(cues),
            "parameters": [choices],
            "parallelTrials": 2,  # the others run while one hangs
            "trialTimeoutSeconds": 100,  # 40 were too few for a first epoch on a busy machine
        },
        train={"epochs": 3},
    )
    report, recorder = run(job, folder / "run", code_dir=SUPPORT)
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    return report, recorder, folder / "run"


@pytest.mark.parametrize(
    ("number", "deed"), list(enumerate(DEEDS)), ids=["lost", "f48", "f50", "f58"]
)
def test_f48_f50_f58_a_trial_that_was_cut_short_goes_on_from_its_last_epoch(
    unruly: tuple[RunReport, Recorder, Path], number: int, deed: str
) -> None:
    report, recorder, folder = unruly
    trial = next(trial for trial in report.trials if trial.number == number)
    assert (folder.parent / deed.partition(" ")[0] / "acted").exists()
    assert trial.state is TrialState.SUCCEEDED
    expected = [DEEDS[deed]] if DEEDS[deed] else []
    assert [(retry.failure_class, retry.action) for retry in trial.retries] == expected
    assert [epoch.epoch for epoch in trial.intermediate] == [1, 2, 3]
    told = [event.action for event in recorder.of(TrialRetried) if event.number == number]
    assert told == [action for _, action in expected]
    assert not (folder / "checkpoints" / f"trial-{number}" / "unfinished").exists()


def test_f58_a_full_disk_in_a_worker_is_told_until_it_is_over(
    unruly: tuple[RunReport, Recorder, Path],
) -> None:
    report, recorder, _ = unruly
    assert [event.reason for event in recorder.of(ProblemRaised)] == [DegradedReason.STORAGE_FULL]
    assert [event.reason for event in recorder.of(ProblemSolved)] == [DegradedReason.STORAGE_FULL]
    assert condition(report, ConditionType.DEGRADED) == ("False", "Recovered")


def test_f52_the_driver_waits_for_storage_that_is_away_and_keeps_every_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_storage(event: Event) -> None:
        if isinstance(event, TrialProgress) and event.number == 1:
            monkeypatch.setattr(os, "fsync", refuse_writes(errno.ESTALE, os.fsync))
            recorder.on_event = None

    recorder = Recorder(on_event=lose_storage)
    report, _ = run(make_search_job(search={"numTrials": 3}), tmp_path / "run", recorder=recorder)
    assert [trial.state for trial in report.trials] == [TrialState.SUCCEEDED] * 3
    assert [event.reason for event in recorder.of(ProblemRaised)] == [
        DegradedReason.STORAGE_UNREACHABLE
    ]
    stored = (tmp_path / "run" / "trials").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in stored] == [0, 1, 2, 3]
    assert condition(report, ConditionType.DEGRADED) == ("False", "Recovered")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job that is done with its two trials; a test that changes it takes a copy."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    report, recorder = run(make_search_job(), folder)
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    assert recorder.trials == [0, 1]
    return folder


def test_f26_f57_trials_are_added_to_a_finished_study_fewer_end_it_and_fresh_starts_over(
    finished: Path, tmp_path: Path
) -> None:
    def job(trials: int, parallel: int = 1) -> OptimizationJob:
        return make_search_job(search={"numTrials": trials, "parallelTrials": parallel})

    folder = shutil.copytree(finished, tmp_path / "run")
    first = RunReport.model_validate_json((folder / "report.json").read_bytes())
    more, recorder = run(job(4, 2), folder)
    assert sorted(recorder.trials) == [2, 3]
    assert more.trials[:2] == first.trials
    assert more.status.trials is not None
    assert more.status.trials.summary == "4/4"
    fewer, recorder = run(job(3), folder)
    assert recorder.trials == []
    assert fewer.trials == more.trials
    assert condition(fewer, ConditionType.COMPLETE) == ("True", "Finished")
    fresh, recorder = run(job(2), folder, fresh=True)
    assert recorder.trials == [0, 1]
    assert fresh.status.attempt == 1


def test_a_search_with_all_its_parts(tmp_path: Path) -> None:
    """Several objectives, limits, early stopping on one metric, first points."""
    job = make_search_job(
        objectives=[
            {"metric": "accuracy", "direction": "Maximize"},
            {"metric": "params", "direction": "Minimize"},
        ],
        constraints=[{"metric": "params", "max": 6000}],
        search={
            "algorithm": {"bayesian": {"startupTrials": 3}},
            "numTrials": 8,
            "parameters": [
                LEARNING_RATE,
                {
                    "name": "model.args.width",
                    "searchSpace": {"categorical": {"choices": [16, 32, 128]}},
                },
            ],
            "earlyStopping": {"metric": "accuracy", "median": {"startupTrials": 5}},
            "warmStart": {
                "points": [
                    {"model.args.width": 128, "train.learningRate": 0.01},
                    {"model.args.width": 32, "train.learningRate": 0.01},
                ]
            },
        },
        train={"epochs": 4},
    )
    report, _ = run(job, tmp_path / "run")
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    by_number = {trial.number: trial for trial in report.trials}
    wide, narrow = by_number[0], by_number[1]
    assert wide.parameters == {"model.args.width": 128, "train.learningRate": 0.01}
    assert wide.state is TrialState.INFEASIBLE
    assert wide.intermediate == ()
    assert [excess > 0 for excess in wide.violations.values()] == [True]
    assert narrow.state is TrialState.SUCCEEDED
    assert narrow.values.keys() == {"accuracy", "params"}
    assert len(report.trials) == 8
    assert all(
        trial.values["params"] <= 6000
        for trial in report.trials
        if trial.state is TrialState.SUCCEEDED
    )
    best = report.status.best
    assert best is not None
    assert by_number[best.trial].state is TrialState.SUCCEEDED


def test_a_job_starts_from_the_results_of_an_earlier_one(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "earlier")
    job = make_search_job(
        search={
            "algorithm": {"bayesian": {"startupTrials": 2}},
            "numTrials": 1,
            "warmStart": {"fromJob": "earlier"},
        },
    )
    report, _ = run(job, tmp_path / "run")
    assert [trial.state for trial in report.cached_trials] == [TrialState.CACHED] * 2
    assert report.status.trials is not None
    assert (report.status.trials.cached, report.status.trials.total) == (2, 1)
    assert json.loads((tmp_path / "run" / "warm-start.json").read_text())


def test_trials_of_several_workers_train_one_network_together(tmp_path: Path) -> None:
    job = make_search_job(
        search={"numTrials": 2},
        train={"epochs": 3, "numWorkers": 2, "precision": {"dtype": "fp32"}},
    )
    report, _ = run(job, tmp_path / "run")
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    assert min(trial.values["accuracy"] for trial in report.trials) > 0.5
