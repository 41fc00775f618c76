"""An attempt whose storage is a bucket of a real S3 server leaves there all that the next one needs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from job_runs import make_search_job
from mirrors import detach_mirrors
from ray_cluster import ray_cluster
from s3_server import Bucket, bucket, s3_server
from trimtab_api.labels import KEY_PROGRESS
from trimtab_api.progress import OutcomeResult, ProgressReport, parse_progress
from trimtab_api.stages import StageState
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_trainer import cluster_pod
from trimtab_trainer.cluster_pod import PodSettings
from trimtab_trainer.cluster_run import DriverExit, drive
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.reporting.progress_view import Identity, ProgressView

__all__ = ["bucket", "s3_server"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def cluster(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Run a Ray whose processes have the keys of the bucket, and a scratch folder of their own."""
    # One path, and for each process the folder that it was started in.
    monkeypatch.setattr(cluster_pod, "SCRATCH", Path("/proc/self/cwd/scratch"))
    for machine in ("worker", "head-1", "head-2"):
        (tmp_path / machine).mkdir()
    monkeypatch.chdir(tmp_path / "worker")
    with ray_cluster(cpus=2) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        yield monkeypatch


def make_job() -> OptimizationJob:
    """Return a job of every stage, in every format that is two files or one."""
    stages = make_search_job(search={"numTrials": 3}).spec.stages.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    stages |= {
        "prune": {"amount": {"ratio": 0.3}, "schedule": {"steps": 1}, "finetune": {"epochs": 1}},
        "quantize": {"method": "Dynamic"},
        "export": {"formats": ["onnx", "openvino", "pt2"]},
    }
    return make_search_job(cluster={"workers": {"replicas": 1}}, stages=stages)


def run(bucket: Bucket, attempt: int) -> tuple[DriverExit, ProgressReport]:
    job = make_job()
    settings = PodSettings("tiny", "team", "uid-1", attempt, f"s3://{bucket.name}/runs")
    there: dict[str, str] = {}

    def send(keys: Mapping[str, str]) -> Mapping[str, str]:
        there.update(keys)
        return there

    view = ProgressView(Identity("uid-1", attempt), job.spec)
    code = drive(job, settings, KubernetesReporter(view, attempt=attempt, send=send))
    detach_mirrors()
    return code, parse_progress(there[KEY_PROGRESS])


def test_f39_an_attempt_in_a_bucket_is_whole_and_the_next_one_runs_nothing_twice(
    cluster: pytest.MonkeyPatch, bucket: Bucket, tmp_path: Path
) -> None:
    cluster.chdir(tmp_path / "head-1")
    code, first = run(bucket, 1)
    assert first.outcome is not None
    assert (code, first.outcome.result) == (DriverExit.DONE, OutcomeResult.SUCCEEDED)
    root = "runs/team/tiny/uid-1"
    keys = {key.removeprefix(f"{root}/") for key in bucket.keys(root)}
    assert {
        "fence",
        "a1/stages/search.json",
        "a1/artifacts/manifest.json",
        "a1/report.json",
    } <= keys
    assert sum(key.startswith("a1/trials/") for key in keys) == 1 + 3
    assert len({key.split("/")[2] for key in keys if key.startswith("a1/checkpoints/trial-")}) == 1

    assert {path.name for path in (tmp_path / "worker").rglob("*.xml")}
    assert not list((tmp_path / "worker").rglob("trial-*/unfinished/*"))

    cluster.chdir(tmp_path / "head-2")
    code, second = run(bucket, 2)
    assert code is DriverExit.DONE
    states = {stage.name.value: stage.state for stage in second.stages}
    assert states["search"] is states["train"] is states["benchmark"] is StageState.CACHED
    artifacts = [file.artifact for entry in second.candidates for file in entry.files]
    assert artifacts
    assert set(artifacts) <= {key.removeprefix(f"{root}/a2/") for key in bucket.keys(f"{root}/a2/")}
    assert json.loads(bucket.store.read(f"{root}/fence")[0]) == {"attempt": 2}
