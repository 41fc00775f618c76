"""Whole jobs in one process with a stand-in where a back-end must misbehave on cue."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from in_process_jobs import run_job, stage, write_module
from job_runs import condition
from trimtab_api.reports import CandidateReport, RunReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_trainer.benchmarking.latency import Measurement
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.benchmarking.runners._base import AbstractRunner
from trimtab_trainer.exporting.artifact import ExportedFile, describe_file
from trimtab_trainer.stages import _manifest, _quantize_work, _work

pytestmark = pytest.mark.timeout(600)


def measure_int8_slower(files: Mapping[str, Path], **_: object) -> dict[str, Measurement]:
    """Stand for a processor without 8-bit instructions."""
    return {
        name: Measurement(2.0 if "int8" in name else 1.0, 3.0, 100.0, 80.0, 0.0, device="cpu")
        for name in files
    }


def describe_as_large(path: Path) -> ExportedFile:
    """Stand for a format whose 8-bit files are no smaller."""
    return replace(describe_file(path), size_mib=1e6, size_compressed_mib=1e6)


def test_f69_a_candidate_neither_smaller_nor_faster_leaves_its_parent_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_work, "measure", measure_int8_slower)
    monkeypatch.setattr(_quantize_work, "describe_file", describe_as_large)
    report = run_job(tmp_path, monkeypatch)
    ended = stage(report, StageName.QUANTIZE)
    assert (ended.state, ended.reason) == ("Succeeded", "NoGain")
    assert report.status.targets[0].candidate == "dense"
    rejected = next(entry for entry in report.candidates if entry.id == "dense-int8")
    assert rejected.rejected is not None
    assert "2× slower" in rejected.rejected


@pytest.mark.parametrize(("prefer", "shipped"), [("Size", "dense-int8"), ("Speed", "dense")])
def test_f69_smaller_but_slower_stays_a_candidate_and_prefer_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefer: str, shipped: str
) -> None:
    monkeypatch.setattr(_work, "measure", measure_int8_slower)
    target = {"name": "edge", "profile": "cpu-edge", "prefer": prefer}

    def measure_each(files: Mapping[str, Path], **_: object) -> dict[str, Measurement]:
        measured = measure_int8_slower(files)
        return {
            name: replace(entry, latency_p95_ms=entry.latency_p50_ms)
            for name, entry in measured.items()
        }

    monkeypatch.setattr(_work, "measure", measure_each)
    report = run_job(tmp_path, monkeypatch, targets=[target])
    assert stage(report, StageName.QUANTIZE).reason is None
    assert report.status.targets[0].candidate == shipped


def test_an_impossible_limit_ships_the_nearest_candidate_and_names_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [{"metric": "size_mib", "target": "edge", "max": 0.000001}]
    target = {"name": "edge", "profile": "cpu-edge", "threads": 1, "prefer": "Size"}
    report = run_job(tmp_path, monkeypatch, constraints=limits, targets=[target])
    assert condition(report, ConditionType.GOALS_MET) == ("False", "ConstraintMissed")
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    assert report.status.targets[0].candidate == "dense-int8"
    assert report.status.targets[0].limiting_constraint == "size_mib@edge max 1e-06"


LOPSIDED = """
import torch
from torch import nn

class Lopsided(nn.Module):
    # One weight is a thousand times larger than the others and meets an input that is always zero:
    # one scale for the layer leaves nothing of the others.
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 32)
        self.wide = nn.Linear(33, 32)
        self.last = nn.Linear(32, 10)
        with torch.no_grad():
            self.wide.weight[:, 32] = 3000.0

    def forward(self, x):
        x = torch.relu(self.first(x.flatten(1)))
        x = torch.relu(self.wide(nn.functional.pad(x, (0, 1))))
        return self.last(x)
"""

UNEXPORTABLE = """
import torch
from torch import nn

class Bessel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return torch.special.bessel_j0(self.layer(x.flatten(1)).detach().float()) + self.layer(x.flatten(1))
"""


def test_f70_a_failed_export_names_the_operator_and_keeps_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write_module(tmp_path, UNEXPORTABLE)
    report = run_job(tmp_path, monkeypatch, model={"entrypoint": f"{module}:Bessel"})
    ended = stage(report, StageName.EXPORT)
    assert (ended.state, ended.reason) == ("Failed", "ExportFailed")
    assert "bessel_j0" in ended.message
    assert {entry.type for entry in report.status.conditions} >= {ConditionType.FAILED}
    assert (tmp_path / "run" / "checkpoints" / "train" / "model.safetensors").is_file()
    assert not list((tmp_path / "run").rglob("*.onnx"))


def test_f70_a_further_format_that_fails_is_named_and_the_others_are_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write_module(tmp_path, UNEXPORTABLE)
    report = run_job(
        tmp_path,
        monkeypatch,
        model={"entrypoint": f"{module}:Bessel"},
        targets=[{"name": "box", "profile": "cpu-server", "runtime": "torch"}],
        stages={
            "train": {"epochs": 1},
            "quantize": {"method": "Cast", "weights": "bf16"},
            "export": {"formats": ["onnx", "pt2"]},
            "benchmark": {"repeats": 5},
        },
    )
    ended = stage(report, StageName.EXPORT)
    assert (ended.state, ended.reason) == ("Failed", "ExportFailed")
    assert "bessel_j0" in ended.message
    assert report.status.state == "Complete"
    published = json.loads((tmp_path / "run" / "artifacts" / "manifest.json").read_text())
    assert {entry["format"] for entry in published["artifacts"]} == {"pt2"}
    assert [entry["candidate"] for entry in published["artifacts"]] == ["dense", "dense-bf16"]
    assert sum(entry["ships"] == ["box"] for entry in published["artifacts"]) == 1
    assert not list((tmp_path / "run").rglob("*.onnx"))


def test_f71_a_file_without_an_entry_in_the_manifest_is_published_once_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "run" / "artifacts" / "manifest.json"

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_manifest, "write_json", crash)
        with pytest.raises(KeyboardInterrupt):
            run_job(tmp_path, patch)
    assert (tmp_path / "run" / "artifacts" / "dense.onnx").is_file()
    assert not manifest.exists()
    report = run_job(tmp_path, monkeypatch)
    published = json.loads(manifest.read_text())["artifacts"]
    assert [entry["candidate"] for entry in published] == ["dense", "dense-int8"]
    assert [entry["sha256"] for entry in published] == [
        candidate.digest for candidate in report.candidates
    ]


CONSTANT = """
import torch
from torch.utils.data import TensorDataset

def load():
    labels = torch.arange(24) % 2
    return {
        "train": TensorDataset(torch.full((24, 1, 8, 8), 0.5), labels),
        "validation": TensorDataset(torch.rand(8, 1, 8, 8), labels[:8]),
    }
"""


def test_f68_constant_calibration_samples_fail_the_stage_and_keep_the_float_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write_module(tmp_path, CONSTANT)
    report = run_job(
        tmp_path,
        monkeypatch,
        dataset={"entrypoint": f"{module}:load"},
        model={"builtin": "mlp", "args": {"num_classes": 2}},
    )
    ended = stage(report, StageName.QUANTIZE)
    assert (ended.state, ended.reason) == ("Failed", "CalibrationInvalid")
    assert "every value is 0.5" in ended.message
    assert report.status.state == "Complete"
    assert report.status.targets[0].candidate == "dense"


def test_f68_a_network_without_a_layer_to_quantize_fails_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {
        "train": {"epochs": 1},
        "quantize": {"method": "Static", "keepFloat": ["*"], "calibration": {"samples": 16}},
        "benchmark": {"repeats": 5},
    }
    report = run_job(tmp_path, monkeypatch, stages=stages)
    ended = stage(report, StageName.QUANTIZE)
    assert (ended.state, ended.reason) == ("Failed", "OperatorUnsupported")
    assert report.status.targets[0].candidate == "dense"
    again = run_job(tmp_path, monkeypatch, stages=stages)
    assert again.status.attempt == 2
    assert stage(again, StageName.QUANTIZE).reason == "OperatorUnsupported"
    assert stage(again, StageName.BENCHMARK).state == "Cached"


def test_a_static_objective_is_pruned_for_and_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run_job(
        tmp_path,
        monkeypatch,
        objectives=[{"metric": "flops", "direction": "Minimize"}],
        stages={
            "train": {"epochs": 1},
            "prune": {
                "allocation": "Sensitivity",
                "sensitivity": {"ratios": [0.5], "samples": 32},
                "amount": {"ratio": 0.25},
                "schedule": {"steps": 1},
                "finetune": {"epochs": 0},
            },
            "quantize": {"method": "Static", "calibration": {"samples": 16}},
            "benchmark": {"repeats": 5},
        },
    )
    assert report.status.state == "Complete"
    by_name = {candidate.id: candidate.metrics["flops"] for candidate in report.candidates}
    assert by_name["pruned"] < by_name["dense"]
    assert by_name["pruned-int8"] == by_name["pruned"]


def test_weights_become_zero_and_win_by_the_compressed_size_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run_job(
        tmp_path,
        monkeypatch,
        stages={
            "train": {"epochs": 1},
            "prune": {"granularity": "Weights", "amount": {"ratio": 0.75}},
            "benchmark": {"repeats": 5},
        },
    )
    dense, pruned = report.candidates
    # The last layer keeps all its weights.
    assert 0.5 < pruned.metrics["sparsity"] < 0.75
    assert pruned.metrics["params"] == dense.metrics["params"]
    assert pruned.metrics["size_mib@host"] == pytest.approx(dense.metrics["size_mib@host"])
    assert pruned.metrics["size_compressed_mib@host"] < dense.metrics["size_compressed_mib@host"]
    assert {layer.kind for layer in report.pruned_layers} == {"Weights"}


def run_lopsided(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    runtime: str = "onnxruntime",
    **quantize: object,
) -> tuple[RunReport, CandidateReport]:
    module = write_module(folder, LOPSIDED)
    report = run_job(
        folder,
        monkeypatch,
        model={"entrypoint": f"{module}:Lopsided"},
        targets=[{"name": "edge", "profile": "cpu-edge", "runtime": runtime}],
        constraints=[
            {"metric": "accuracy", "maxDrop": 0.02},
            {"metric": "size_mib", "minGainRatio": 0.5},
        ],
        stages={
            "train": {"epochs": 12, "learningRate": 0.005},
            "quantize": {"method": "Static", "perChannel": False, **quantize},
            "benchmark": {"repeats": 5},
        },
    )
    return report, next(entry for entry in report.candidates if entry.id == "dense-int8")


def test_f67_the_layer_that_hurts_stays_float_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, quantized = run_lopsided(tmp_path, monkeypatch)
    ended = stage(report, StageName.QUANTIZE)
    assert (ended.state, ended.reason) == ("Succeeded", "LayersKeptFloat")
    assert quantized.reason is None
    assert quantized.details["layersFloat"] == ["wide"]
    assert quantized.details["layersQuantized"] == ["first", "last"]
    assert report.status.budget is not None
    assert report.status.budget.remaining >= 0


def test_f67_the_files_that_targets_run_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_flattering(path: Path, *, threads: int) -> AbstractRunner:
        """Stand for a runtime in which eight bits cost nothing, beside one in which they do."""
        flattered = path.with_name("dense.onnx") if path.suffix == ".onnx" else path
        return open_runner(flattered, threads=threads)

    monkeypatch.setattr(_quantize_work, "open_runner", open_flattering)
    _, quantized = run_lopsided(tmp_path, monkeypatch, runtime="openvino")
    assert quantized.reason is None
    assert quantized.details["layersFloat"] == ["wide"]


def test_f67_without_the_fallback_the_budget_is_exceeded_and_the_nearest_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, quantized = run_lopsided(tmp_path, monkeypatch, onMiss=[])
    assert quantized.reason == "BudgetExceeded"
    assert report.status.state == "Complete"
    goals = next(entry for entry in report.status.conditions if entry.type == "GoalsMet")
    assert goals.status == "False"
    assert report.status.result is not None


def test_f67_a_budget_below_two_samples_is_called_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraints = [{"metric": "accuracy", "maxDrop": 0.0001}]
    report = run_job(tmp_path, monkeypatch, constraints=constraints)
    assert any("the budget of 0.01 points is" in warning for warning in report.warnings)
