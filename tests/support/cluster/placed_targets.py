"""A job whose targets have Jobs of their own, with the figures that driver and Jobs report.

Used by the tests of targets that cannot be measured: one of two is always called `lost`.
"""

from typing import Any

from candidate_builder import TARGET
from cluster.api import Manifest
from cluster.watched_job import WatchedJob
from manifest_edits import edit_manifest
from progress_builder import make_progress, make_target_report
from trimtab_api.labels import target_key
from trimtab_api.progress_size import render_progress

__all__ = [
    "TARGET",
    "assert_unmeasured",
    "fail_target_job",
    "make_placed_job",
    "report_all_candidates",
    "report_figures",
]


def make_placed_job(namespace: str, targets: list[dict[str, Any]], **more: Any) -> Manifest:
    """Return a job with all stages, on S3; `more` replaces fields of its spec."""
    manifest = edit_manifest({"metadata.namespace": namespace, "spec.targets": targets})
    manifest["spec"] |= {"storage": {"uri": "s3://runs/all"}, **more}
    return manifest


def report_all_candidates(job: WatchedJob) -> None:
    """Report, as the driver, all candidates and the end."""
    progress = make_progress(uid=job.read()["metadata"]["uid"], targets=())
    job.write_report(render_progress(progress))


def report_figures(job: WatchedJob) -> None:
    """Report what the Job of `TARGET` measured."""
    told = make_target_report(uid=job.read()["metadata"]["uid"])
    job.write_report(told.model_dump_json(by_alias=True, exclude_none=True), target_key(TARGET))


def fail_target_job(job: WatchedJob, name: str) -> None:
    """Say what the Job controller says after a Job's deadline."""
    now = job.children()["Job", name]["metadata"]["creationTimestamp"]
    told = {"status": "True", "reason": "DeadlineExceeded", "message": "too long"}
    times = {"lastTransitionTime": now, "lastProbeTime": now}
    conditions = [{"type": kind, **told, **times} for kind in ("FailureTarget", "Failed")]
    changes = {"status": {"conditions": conditions, "startTime": now}}
    job.cluster.api.patch("Job", name, changes, job.namespace, subresource="/status")


def assert_unmeasured(job: WatchedJob, *names: str) -> None:
    """Assert that these targets have no figures, `TARGET` has, and the job says so."""
    assert job.said("GoalsMet") == "False/TargetUnmeasured"
    targets = {target["name"]: target for target in job.status()["targets"]}
    for name in names:
        assert name in job.words("GoalsMet")
        assert targets[name]["state"] == "Unmeasured"
    assert targets[TARGET]["state"] == "Measured"
    assert targets[TARGET]["node"] == "pi-1"
