"""What a run says of pruning, and what it refuses to train; whole jobs in one process."""

from pathlib import Path

import pytest

from in_process_jobs import run_job, stage
from job_runs import Recorder, condition
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_trainer.reporting._base import RunStarted, StageProgress

BENCHMARK = {"repeats": 5}


def prune(**settings: object) -> dict[str, object]:
    return {"finetune": {"epochs": 0}, **settings}


def search_widths(*widths: int) -> dict[str, object]:
    choices = [{"name": "model.args.width", "searchSpace": {"categorical": {"choices": widths}}}]
    return {"algorithm": {"grid": {}}, "parameters": choices}


def test_steps_that_rounding_leaves_nothing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = prune(amount={"ratio": 0.5}, roundTo=64, schedule={"steps": 6})
    stages = {"train": {"epochs": 1}, "prune": asked, "benchmark": BENCHMARK}
    report = run_job(tmp_path, monkeypatch, stages=stages)
    assert [step.step for step in report.prune_steps] == [2]
    message = stage(report, StageName.PRUNE).message
    assert "of the FLOPs and" in message
    assert message.endswith("; 5 of 6 steps had nothing to remove, as widths are rounded")


def test_an_undone_step_is_told_in_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = prune(amount={"ratio": 0.75}, schedule={"steps": 1}, importance="Random")
    report = run_job(
        tmp_path,
        monkeypatch,
        constraints=[{"metric": "accuracy", "maxDrop": 0.01}],
        stages={"train": {"epochs": 3}, "prune": asked, "benchmark": BENCHMARK},
    )
    message = stage(report, StageName.PRUNE).message
    assert message.startswith("undone: the first step makes accuracy ")
    assert message.endswith(" points worse, prune may spend 1.00 points; the dense model is kept")


def test_pruning_never_goes_back_in_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    asked = prune(
        allocation="Sensitivity",
        sensitivity={"ratios": [0.5], "samples": 32},
        amount={"ratio": 0.5},
        schedule={"steps": 2},
    )
    stages = {"train": {"epochs": 1}, "prune": asked, "benchmark": BENCHMARK}
    run_job(tmp_path, monkeypatch, reporter=recorder, stages=stages)
    told = [event for event in recorder.of(StageProgress) if event.stage is StageName.PRUNE]
    shares = [event.done / (event.total or 1.0) for event in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_network_that_the_search_never_tries_is_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {
        "search": search_widths(64),
        "train": {"epochs": 1},
        "prune": prune(amount={"ratio": 0.5}, roundTo=32, schedule={"steps": 1}),
        "benchmark": BENCHMARK,
    }
    model = {"builtin": "mlp", "args": {"width": 16}}
    report = run_job(tmp_path, monkeypatch, model=model, stages=stages)
    assert report.status.state == "Complete"
    assert "pruned" in {entry.id for entry in report.candidates}


def test_a_trial_whose_network_cannot_be_pruned_fails_before_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {
        "search": search_widths(16, 64),
        "train": {"epochs": 1},
        "prune": prune(amount={"ratio": 0.5}, roundTo=32, schedule={"steps": 1}),
        "benchmark": BENCHMARK,
    }
    report = run_job(tmp_path, monkeypatch, stages=stages)
    by_width = {trial.parameters["model.args.width"]: trial for trial in report.trials}
    failure = by_width[16].failure
    assert failure is not None
    assert "prune.amount.ratio is 0.5, which removes nothing" in failure.message
    assert not by_width[16].intermediate
    assert report.status.state == "Complete"
    assert "pruned" in {entry.id for entry in report.candidates}


def test_a_misspelt_pattern_fails_a_job_whose_network_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {
        "search": search_widths(16, 32, 64),
        "train": {"epochs": 1},
        "quantize": {"keepFloat": ["hiden*"]},
        "benchmark": BENCHMARK,
    }
    report = run_job(tmp_path, monkeypatch, stages=stages)
    assert condition(report, ConditionType.FAILED) == ("True", "UserError")
    assert "failed alike: quantize.keepFloat: 'hiden*' matches no layer" in report.status.message
    assert not any(trial.intermediate for trial in report.trials)


def test_f66_a_pattern_that_matches_no_layer_fails_in_preflight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    stages = {"train": {"epochs": 1}, "prune": prune(ignoreLayers=["layrs.*"])}
    report = run_job(tmp_path, monkeypatch, reporter=recorder, stages=stages)
    assert condition(report, ConditionType.FAILED) == ("True", "UserError")
    assert "layrs" in (report.status.message or "")
    assert isinstance(recorder.events[0], RunStarted)


def test_f62_a_missing_data_set_fails_before_any_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    stages = {"search": search_widths(16, 32), "train": {"epochs": 1}}
    dataset = {"idx": "pvc://nowhere/fashion"}
    report = run_job(tmp_path, monkeypatch, reporter=recorder, dataset=dataset, stages=stages)
    assert condition(report, ConditionType.FAILED) == ("True", "DatasetUnavailable")
    assert recorder.trials == []


def test_a_missing_earlier_job_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    search = {**search_widths(16, 32), "warmStart": {"fromJob": "nowhere"}}
    stages = {"search": search, "train": {"epochs": 1}}
    report = run_job(tmp_path, monkeypatch, reporter=recorder, stages=stages)
    assert condition(report, ConditionType.FAILED) == ("True", "UserError")
    assert "search.warmStart.fromJob" in (report.status.message or "")
    assert recorder.trials == []
