"""Where the time goes from `kubectl apply` to the first trial, from what the cluster has recorded.

Printed by the test of the main job. Nothing is judged here: machines differ.
"""

from collections.abc import Iterator
from datetime import datetime

from cluster.api import Manifest
from cluster.node_jobs import NodeJob

__all__ = ["describe_start"]

_STEPS = (
    ("optimizationjob", "ClusterCreated", "the operator made the RayJob"),
    ("head", "Started", "the head's container runs"),
    ("worker", "Started", "the last worker's container runs"),
    ("rayjob", "CreatedRayJobSubmitter", "head and workers are ready"),
    ("submitter", "Started", "the submitter's container runs"),
)
"""Whose event, its reason, and what it shows; the last one of its kind counts."""


def describe_start(job: NodeJob) -> str:
    """Return one line per step: seconds since the job was made, and since the step before."""
    made = job.read()
    start = _parse(made["metadata"]["creationTimestamp"])
    events = job.cluster.api.list("Event", job.namespace)
    moments = [*_find_steps(job, events), *_find_stages(made["status"]["stages"])]
    lines, before = [], start
    for moment, what in sorted(moments):
        since, step = (moment - start).total_seconds(), (moment - before).total_seconds()
        lines.append(f"{since:6.0f} s  {step:+5.0f} s  {what}\n")
        before = moment
    return f"\nfrom kubectl apply of {job.name}:\n" + "".join(lines)


def _find_steps(job: NodeJob, events: list[Manifest]) -> Iterator[tuple[datetime, str]]:
    for whose, reason, what in _STEPS:
        times = [
            _parse(event["firstTimestamp"] or event["eventTime"])
            for event in events
            if event["reason"] == reason and _owner_of(job, event) == whose
        ]
        if times:
            yield max(times), what


def _owner_of(job: NodeJob, event: Manifest) -> str:
    """Return the part of an object of the job in it; empty where it is another's."""
    concerned = event["involvedObject"]
    kind, name = concerned["kind"].lower(), concerned["name"]
    if name != job.name and not name.startswith(f"{job.name}-a1"):
        return ""
    if kind != "pod":
        return str(kind)
    return next((part for part in ("head", "worker") if f"-{part}-" in name), "submitter")


def _find_stages(stages: list[Manifest]) -> Iterator[tuple[datetime, str]]:
    for stage in stages:
        if "startTime" in stage:
            yield _parse(stage["startTime"]), f"stage {stage['name']} begins"
    yield _parse(stages[-1]["completionTime"]), "the last stage ended"


def _parse(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
