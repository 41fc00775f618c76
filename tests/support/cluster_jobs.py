"""Builds OptimizationJobs as an API server has them: with uid, version and a status."""

from typing import Any

from report_builder import make_manifest

__all__ = ["JOBS", "JOB_PATH", "make_cluster_job", "make_condition", "make_job_list"]

JOBS = "/apis/trimtab.dev/v1alpha1/namespaces/vision/optimizationjobs"
JOB_PATH = f"{JOBS}/digits"


def make_condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-24T10:00:00Z",
    }


def make_cluster_job(*, version: str = "7", generation: int = 1, **status: Any) -> dict[str, Any]:
    """Return a job `digits` in namespace `vision`; without `status` no operator has seen it."""
    document = make_manifest()
    document["metadata"] = {
        "name": "digits",
        "namespace": "vision",
        "uid": "1111-2222",
        "resourceVersion": version,
        "generation": generation,
    }
    if status:
        document["status"] = {"observedGeneration": 1, **status}
    return document


def make_job_list(*items: dict[str, Any], version: str = "9") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "items": list(items)}
