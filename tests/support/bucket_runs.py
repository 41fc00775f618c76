"""Drivers whose storage is a bucket, on a Ray whose processes have the keys of the bucket."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from mirrors import detach_mirrors
from ray_cluster import ray_cluster
from s3_server import Bucket
from trimtab_api.labels import KEY_PROGRESS
from trimtab_api.progress import ProgressReport, parse_progress
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_trainer import cluster_pod
from trimtab_trainer.cluster_pod import PodSettings
from trimtab_trainer.cluster_run import DriverExit, drive
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.reporting.progress_view import Identity, ProgressView

__all__ = ["bucket_cluster", "drive_attempt"]


@contextmanager
def bucket_cluster(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a Ray whose worker has a scratch folder of its own; drivers get theirs by their folder."""
    # One path, and for each process the folder that it was started in.
    patch.setattr(cluster_pod, "SCRATCH", Path("/proc/self/cwd/scratch"))
    (folder / "worker").mkdir()
    patch.chdir(folder / "worker")
    with ray_cluster(cpus=2) as address:
        patch.setenv("RAY_ADDRESS", address)
        yield


def drive_attempt(
    bucket: Bucket,
    job: OptimizationJob,
    attempt: int = 1,
    *,
    on_report: Callable[[ProgressReport], None] = lambda _: None,
) -> tuple[DriverExit, ProgressReport]:
    """Run an attempt in the current folder, as a head of its own would; return its last report.

    Args:
        bucket: Its storage.
        job: One with the uid `uid-1`.
        attempt: Its number.
        on_report: Called with each report while the driver goes on.
    """
    settings = PodSettings(job.metadata.name, "team", "uid-1", attempt, f"s3://{bucket.name}/runs")
    there: dict[str, str] = {}

    def send(keys: Mapping[str, str]) -> Mapping[str, str]:
        there.update(keys)
        on_report(parse_progress(there[KEY_PROGRESS]))
        return there

    view = ProgressView(Identity("uid-1", attempt), job.spec)
    code = drive(job, settings, KubernetesReporter(view, attempt=attempt, send=send))
    detach_mirrors()
    return code, parse_progress(there[KEY_PROGRESS])
