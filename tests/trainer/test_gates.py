"""Whole jobs in one process with a stand-in where a back-end must misbehave on cue."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from trimtab_api.reports import RunReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.status import StageStatus
from trimtab_api.validation import parse_job
from trimtab_trainer import pipeline
from trimtab_trainer.benchmarking.latency import Measurement
from trimtab_trainer.execution.in_process import InProcessExecutor
from trimtab_trainer.exporting.artifact import ExportedFile, describe_file
from trimtab_trainer.reporting._base import AbstractReporter, Event
from trimtab_trainer.stages import _work, quantize


class Silence(AbstractReporter):
    """Listens and forgets."""

    @override
    def publish(self, event: Event) -> None:
        del event


def start_in_process(
    *, slots: int, make_bench: Callable[[], object], code_dir: Path | None, **_: object
) -> InProcessExecutor:
    return InProcessExecutor(slots=slots, make_bench=make_bench, code_dir=code_dir)


def run_job(folder: Path, monkeypatch: pytest.MonkeyPatch, **spec: object) -> RunReport:
    monkeypatch.setattr(pipeline, "RayExecutor", start_in_process)
    document = {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "model": {"builtin": "mlp"},
            "dataset": {"builtin": "digits"},
            "stages": {
                "train": {"epochs": 1},
                "quantize": {"calibration": {"samples": 16}},
                "benchmark": {"repeats": 5},
            },
            **spec,
        },
    }
    return pipeline.run_job(
        parse_job(document),
        folder=folder / "run",
        code_dir=folder,
        data_root=folder,
        fresh=False,
        reporter=Silence(),
    )


def stage(report: RunReport, name: StageName) -> StageStatus:
    return next(entry for entry in report.status.stages if entry.name is name)


def measure_int8_slower(files: Mapping[str, Path], **_: object) -> dict[str, Measurement]:
    """Stand for a processor without 8-bit instructions."""
    return {
        name: Measurement(2.0 if "int8" in name else 1.0, 3.0, 100.0, 80.0, 0.0) for name in files
    }


def describe_as_large(path: Path) -> ExportedFile:
    """Stand for a format whose 8-bit files are no smaller."""
    return replace(describe_file(path), size_mib=1e6, size_compressed_mib=1e6)


def test_f69_a_candidate_neither_smaller_nor_faster_leaves_its_parent_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_work, "measure", measure_int8_slower)
    monkeypatch.setattr(quantize, "describe_file", describe_as_large)
    report = run_job(tmp_path, monkeypatch)
    ended = stage(report, StageName.QUANTIZE)
    assert (ended.state, ended.reason) == ("Succeeded", "NoGain")
    assert report.status.targets[0].candidate == "dense"
    rejected = next(entry for entry in report.candidates if entry.id == "dense-int8")
    assert rejected.rejected is not None
    assert "latency_p50_ms 2 against 1 ms" in rejected.rejected


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
    (tmp_path / "bessel.py").write_text(UNEXPORTABLE)
    report = run_job(tmp_path, monkeypatch, model={"entrypoint": "bessel:Bessel"})
    ended = stage(report, StageName.EXPORT)
    assert (ended.state, ended.reason) == ("Failed", "ExportFailed")
    assert "bessel_j0" in ended.message
    assert {entry.type for entry in report.status.conditions} >= {ConditionType.FAILED}
    assert (tmp_path / "run" / "checkpoints" / "train" / "model.safetensors").is_file()
    assert not list((tmp_path / "run").rglob("*.onnx"))
