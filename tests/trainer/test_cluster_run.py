"""An attempt on a Ray cluster: what it leaves, what the next one takes over, and how it ends."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from job_runs import make_search_job
from ray_cluster import ray_cluster
from trimtab_api.labels import KEY_CONTROL, KEY_PROGRESS
from trimtab_api.progress import Outcome, OutcomeResult, ProgressReport, parse_progress
from trimtab_api.reports import RunReport
from trimtab_api.stages import StageState
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_trainer.cluster_pod import PodSettings
from trimtab_trainer.cluster_run import DriverExit, drive
from trimtab_trainer.reporting.config_map import ApiRefusedError
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.reporting.progress_view import Identity, ProgressView

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ONE_WORKER = {"workers": {"replicas": 1}}
MANY = 5000
"""Trials enough for a search to be at work when it is interrupted after its second report."""


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with ray_cluster(cpus=2) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        yield


@dataclass
class Attempts:
    """A job, its storage, and its report ConfigMap, which refuses every other write."""

    root: Path
    job: OptimizationJob
    there: dict[str, str] = field(default_factory=dict)
    on_report: Callable[[ProgressReport], None] = lambda _: None
    """Called with each report while the driver goes on."""
    _writes: int = 0

    def run(self, attempt: int) -> DriverExit:
        settings = PodSettings("tiny", "team", "uid-1", attempt, self.root.as_uri())
        view = ProgressView(Identity("uid-1", attempt), self.job.spec)
        return drive(self.job, settings, KubernetesReporter(view, attempt=attempt, send=self._send))

    def _send(self, keys: Mapping[str, str]) -> Mapping[str, str]:
        self._writes += 1
        if self._writes % 2 == 0:
            raise ApiRefusedError("status 500: not now")
        self.there.update(keys)
        self.on_report(self.report)
        return dict(self.there)

    @property
    def report(self) -> ProgressReport:
        return parse_progress(self.there[KEY_PROGRESS])

    @property
    def outcome(self) -> Outcome | None:
        return self.report.outcome

    def folder(self, attempt: int) -> Path:
        return self.root / "team/tiny/uid-1" / f"a{attempt}"

    def trials(self, attempt: int) -> list[int]:
        """Return the trials in an attempt's log."""
        lines = (self.folder(attempt) / "trials").read_text().splitlines()
        return [json.loads(line)["record"]["trial"]["number"] for line in lines[1:]]


def make_job(trials: int = 2) -> OptimizationJob:
    """Return a job whose last target is placed on a node of its own."""
    edge = {"name": "edge", "profile": "cpu-edge", "threads": 1}
    placed = {**edge, "name": "arm", "nodeSelector": {"kubernetes.io/arch": "arm64"}}
    return make_search_job(
        search={"numTrials": trials},
        targets=[edge, placed],
        cluster=ONE_WORKER,
        constraints=[{"metric": "size_mib", "max": 100}],
    )


def list_finished(folder: Path) -> list[Path]:
    """Leave out the trials that ran: their processes live a moment longer than the driver."""
    parts = [path for path in folder.rglob("*") if "checkpoints" not in path.parts]
    return [path for path in parts if path.is_file()]


def test_f39_an_attempt_is_whole_and_the_next_one_runs_nothing_twice(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, make_job())
    assert attempts.run(1) is DriverExit.DONE
    first = attempts.report
    assert attempts.outcome == Outcome(result=OutcomeResult.SUCCEEDED, message=first.message)
    assert first.trials is not None
    assert first.trials.succeeded == 2
    assert {"search.json", "train.json", "benchmark.json"} <= attempts.there.keys()
    assert [target.name for target in first.targets] == ["edge"]
    assert not any(key.endswith("p50_ms@arm") for key in first.candidates[0].metrics)
    assert "size_mib@arm" in first.candidates[0].metrics
    ((target, margin),) = [(entry.target, entry.value) for entry in first.margins]
    assert (target, 99 < margin < 100) == ("edge", True)
    assert first.hypervolume is not None
    assert first.last_trial is not None
    assert first.last_trial.metrics.keys() >= {"accuracy", "loss"}
    assert first.gpu_seconds is None  # there is no GPU

    assert attempts.run(2) is DriverExit.DONE
    assert attempts.trials(2) == attempts.trials(1) == [0, 1]
    states = {stage.name.value: stage.state for stage in attempts.report.stages}
    assert states["search"] is states["train"] is states["benchmark"] is StageState.CACHED
    report = RunReport.model_validate_json((attempts.folder(2) / "report.json").read_bytes())
    assert report.status.attempt == 2
    assert all((attempts.folder(2) / entry.artifact).is_file() for entry in report.candidates)


def test_f42_a_driver_that_was_replaced_ends_before_its_next_write(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, make_job(trials=MANY))
    place = PodSettings("tiny", "team", "uid-1", 2, tmp_path.as_uri()).place
    is_replaced = threading.Event()

    def replace(report: ProgressReport) -> None:
        if report.trials is not None and report.trials.succeeded and not is_replaced.is_set():
            later = place.open()
            later.raise_fence(2)
            later.open_attempt(2)
            is_replaced.set()

    attempts.on_report = replace
    assert attempts.run(1) is DriverExit.FENCED
    assert is_replaced.wait(60)  # the reports are sent in a thread of their own
    assert attempts.outcome is None
    taken = attempts.trials(2)
    assert 0 < len(taken) < MANY
    assert attempts.trials(1)[: len(taken)] == taken
    assert not (attempts.folder(1) / "stages/search.json").exists()
    before = {path: path.read_bytes() for path in list_finished(attempts.folder(1))}
    assert attempts.run(1) is DriverExit.FENCED
    assert {path: path.read_bytes() for path in before} == before

    attempts.job = make_job(trials=len(taken) + 1)
    assert attempts.run(2) is DriverExit.DONE
    assert attempts.trials(2) == list(range(len(taken) + 1))
    assert attempts.report.attempt == 2


def test_f24_a_driver_that_is_to_stop_ends_and_leaves_what_is_finished(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, make_job(trials=MANY))

    def stop(report: ProgressReport) -> None:
        if report.trials is not None and report.trials.succeeded:
            attempts.there[KEY_CONTROL] = json.dumps({"attempt": 1, "stop": True})

    attempts.on_report = stop
    assert attempts.run(1) is DriverExit.DONE
    assert attempts.outcome is not None
    assert attempts.outcome.result is OutcomeResult.STOPPED
    assert 0 < len(attempts.trials(1)) < MANY


def test_f62_a_job_that_cannot_work_fails_with_its_reason(tmp_path: Path) -> None:
    job = make_search_job(
        dataset={"imageFolder": "pvc://missing/images", "imageSize": 8}, cluster=ONE_WORKER
    )
    attempts = Attempts(tmp_path, job)
    assert attempts.run(1) is DriverExit.FAILED
    assert attempts.outcome is not None
    assert attempts.outcome.reason is FailedReason.DATASET_UNAVAILABLE
