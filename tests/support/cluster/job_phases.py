"""Jobs of tier K, each in another phase of its life, side by side in one namespace.

Tests of what may happen in any phase use them: deletion, suspension. A job is named after its phase.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay
from cluster.watched_job import WatchedJob, make_job

__all__ = ["COMPLETE", "MEASURING", "PENDING", "PHASES", "RUNNING", "STARTING", "JobsByPhase"]

PENDING, STARTING, RUNNING = "pending", "starting", "running"
MEASURING, COMPLETE = "measuring", "complete"
PHASES = (PENDING, STARTING, RUNNING, MEASURING, COMPLETE)
TRIALS = {"summary": "3/4", "total": 4, "succeeded": 3}
_GPU = {"limits": {"nvidia.com/gpu": 1, "cpu": 1, "memory": "1Gi"}}


@dataclass(frozen=True, slots=True)
class JobsByPhase:
    """Makes the jobs, and brings each as far as its name says."""

    cluster: Cluster
    namespace: str
    nodes: SimulatedNodes
    ray: SimulatedRay

    def make(self, phases: Iterable[str] = PHASES, **spec: Any) -> dict[str, WatchedJob]:
        """Return jobs in these phases, of one worker with a GPU each; `spec` replaces fields."""
        self.nodes.hold(self._is_held)
        jobs = {phase: self._create(phase, spec) for phase in phases}
        for phase, job in jobs.items():
            self._advance(phase, job)
        return jobs

    def list_pods(self) -> list[str]:
        """Return the names of the namespace's pods that hold a machine."""
        return [
            pod["metadata"]["name"]
            for pod in self.cluster.api.list("Pod", self.namespace)
            if pod["status"].get("phase") not in {"Succeeded", "Failed"}
        ]

    def start_driver(self, job: WatchedJob, attempt: int = 1) -> None:
        """Wait for the workers of an attempt, and report as its driver."""
        job.wait_for_attempt(attempt)
        job.wait_for("ClusterReady", "True/WorkersReady")
        job.report(attempt, trials=TRIALS)
        job.wait(lambda: job.status()["trials"]["succeeded"] == TRIALS["succeeded"])

    def end_driver(self, job: WatchedJob, attempt: int = 1) -> None:
        """Let the driver of an attempt end with a result."""
        self.ray.end_job(self.cluster, self.namespace, f"{job.name}-a{attempt}")
        job.end(attempt, trials=TRIALS)

    def _is_held(self, pod: Manifest) -> bool:
        metadata = pod["metadata"]
        labels = metadata.get("labels", {})
        is_worker = labels.get("ray.io/node-type") == "worker"
        starting = labels.get("trimtab.dev/job") == STARTING
        return is_worker and starting and metadata["namespace"] == self.namespace

    def _create(self, phase: str, spec: dict[str, Any]) -> WatchedJob:
        fields: dict[str, Any] = {
            "stages": {"search": {"numTrials": 4}, "train": {}},
            "cluster": {"device": "cpu", "workers": {"resources": _GPU}},
        }
        if phase == PENDING:
            fields["suspend"] = True
        if phase == MEASURING:
            fields["targets"] = [{"name": "pi", "nodeSelector": {"board": "pi"}}]
        manifest = make_job(self.namespace, phase, **{**fields, **spec})
        return WatchedJob.create(self.cluster, manifest)

    def _advance(self, phase: str, job: WatchedJob) -> None:
        if phase == PENDING:
            job.wait_for("Suspended", "True/SuspendedBySpec")
            return
        if phase == STARTING:
            job.wait_for("Scheduled", "True/PodsScheduled")
            return
        self.start_driver(job)
        if phase == RUNNING:
            return
        self.end_driver(job)
        if phase == MEASURING:
            # No node has the board, so this is where it stays.
            job.wait_for("Scheduled", "False/Unschedulable")
        else:
            job.wait_for("Complete", "True/Finished")
