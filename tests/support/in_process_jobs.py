"""Whole jobs in one process, without Ray: a tiny manifest with parts replaced."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from trimtab_api.reports import RunReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.status import StageStatus
from trimtab_api.validation import parse_job
from trimtab_trainer import pipeline
from trimtab_trainer.execution.in_process import InProcessExecutor
from trimtab_trainer.reporting._base import AbstractReporter, Event

__all__ = ["run_job", "stage", "write_module"]


class Silence(AbstractReporter):
    """Listens and forgets."""

    @override
    def publish(self, event: Event) -> None:
        del event


def start_in_process(
    *, slots: int, make_bench: Callable[[], object], code_dir: Path | None, **_: object
) -> InProcessExecutor:
    return InProcessExecutor(slots=slots, make_bench=make_bench, code_dir=code_dir)


def write_module(folder: Path, text: str) -> str:
    """Write a module of the user; each folder's has another name, because one process imports all."""
    name = f"code_{folder.name}"
    (folder / f"{name}.py").write_text(text)
    return name


def run_job(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    reporter: AbstractReporter | None = None,
    **spec: object,
) -> RunReport:
    """Run a job in a folder and return its report; `spec` replaces parts of the manifest's."""
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
                "quantize": {"method": "Static", "calibration": {"samples": 16}},
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
        reporter=reporter or Silence(),
    )


def stage(report: RunReport, name: StageName) -> StageStatus:
    return next(entry for entry in report.status.stages if entry.name is name)
