"""Whole jobs of seconds: a manifest with parts replaced, run in a folder, and what was told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.validation import parse_job
from trimtab_trainer.pipeline import run_job
from trimtab_trainer.reporting._base import AbstractReporter, Event, TrialEnded

__all__ = ["LEARNING_RATE", "Recorder", "condition", "make_search_job", "run"]

EventT = TypeVar("EventT", bound=Event)

LEARNING_RATE = {
    "name": "train.learningRate",
    "searchSpace": {"logUniform": {"min": 3e-3, "max": 3e-2}},
}


@dataclass
class Recorder(AbstractReporter):
    """Keeps what a run told."""

    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] | None = None
    """Called with each event, while the run waits."""

    @override
    def publish(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    @property
    def trials(self) -> list[int]:
        return [event.trial.number for event in self.of(TrialEnded)]

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self.events if isinstance(event, kind)]


def make_search_job(
    *,
    search: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    **spec: Any,
) -> OptimizationJob:
    """Return a job that searches, trains and exports, and compresses nothing."""
    document = {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "model": {"builtin": "mlp"},
            "dataset": {"builtin": "digits"},
            "targets": [{"name": "edge", "profile": "cpu-edge", "threads": 1}],
            "stages": {
                "search": {
                    "algorithm": {"random": {}},
                    "numTrials": 2,
                    "parameters": [LEARNING_RATE],
                    **(search or {}),
                },
                "train": {"epochs": 2, **(train or {})},
                "benchmark": {"repeats": 5},
            },
            **spec,
        },
    }
    return parse_job(document)


def run(
    job: OptimizationJob,
    folder: Path,
    *,
    code_dir: Path | None = None,
    recorder: Recorder | None = None,
    fresh: bool = False,
) -> tuple[RunReport, Recorder]:
    """Run a job in a folder; user code lies in `code_dir`, else beside the folder."""
    recorder = recorder or Recorder()
    report = run_job(
        job,
        folder=folder,
        code_dir=code_dir or folder.parent,
        data_root=folder.parent,
        fresh=fresh,
        reporter=recorder,
    )
    return report, recorder


def condition(report: RunReport, kind: ConditionType) -> tuple[str, str] | None:
    """Return status and reason of a condition."""
    found = [entry for entry in report.status.conditions if entry.type is kind]
    return (found[0].status, found[0].reason) if found else None
