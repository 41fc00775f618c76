"""An attempt whose storage is a bucket of a real S3 server leaves there all that the next one needs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucket_runs import bucket_cluster, drive_attempt
from job_runs import make_search_job
from s3_server import Bucket, bucket, s3_server
from trimtab_api.progress import OutcomeResult
from trimtab_api.stages import StageState
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_trainer.cluster_run import DriverExit

__all__ = ["bucket", "s3_server"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def cluster(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    for head in ("head-1", "head-2"):
        (tmp_path / head).mkdir()
    with bucket_cluster(tmp_path, monkeypatch):
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


def test_f39_an_attempt_in_a_bucket_is_whole_and_the_next_one_runs_nothing_twice(
    cluster: pytest.MonkeyPatch, bucket: Bucket, tmp_path: Path
) -> None:
    cluster.chdir(tmp_path / "head-1")
    code, first = drive_attempt(bucket, make_job())
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
    code, second = drive_attempt(bucket, make_job(), 2)
    assert code is DriverExit.DONE
    states = {stage.name.value: stage.state for stage in second.stages}
    assert states["search"] is states["train"] is states["benchmark"] is StageState.CACHED
    artifacts = [file.artifact for entry in second.candidates for file in entry.files]
    assert artifacts
    assert set(artifacts) <= {key.removeprefix(f"{root}/a2/") for key in bucket.keys(f"{root}/a2/")}
    assert json.loads(bucket.store.read(f"{root}/fence")[0]) == {"attempt": 2}
