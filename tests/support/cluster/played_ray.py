"""KubeRay, the driver and the garbage collector at tier A, where nothing acts on objects by itself.

At tier K it is the driver alone; KubeRay hears of its end from the simulated heads. A test calls `play` again and again while it waits. What the driver is to do next is set by the test:
come up, report, succeed. A driver that is told to stop, stops.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cluster.access import Cluster
from cluster.api import ApiRefusedError, Manifest
from cluster.kinds import CHILD_KINDS
from cluster.simulated_ray import SimulatedRay

__all__ = ["PlayedRay"]

_OVER = frozenset({"Complete", "Failed"})
_GONE = frozenset({404, 409})
_POLL, _HEARTBEAT = 0.15, 1.5
"""Seconds between two looks, and between two reports that say the same."""


@dataclass(slots=True)
class PlayedRay:
    """Everybody but the operator, for one job in one namespace.

    Attributes:
        cluster: Of tier A.
        namespace: Where the job lives.
        job: Its name.
        heads: Of tier K, where the real KubeRay acts; None plays KubeRay too.
        starts: Whether clusters come up; else their RayJobs stay in Initializing.
        succeeds: Whether a driver that runs ends well.
        trials: Finished trials that drivers report.
        seen: The uids of RayJobs by name, over the whole time: one each, if none was made twice.
        told: What the driver that runs was told last.
        deleted: Whether `delete_job` was called.
    """

    cluster: Cluster
    namespace: str
    job: str = "digits"
    heads: SimulatedRay | None = None
    starts: bool = True
    succeeds: bool = False
    trials: int = 0
    seen: dict[str, set[str]] = field(default_factory=dict)
    told: Manifest = field(default_factory=dict)
    deleted: bool = False
    _said: tuple[int, int, str | None] | None = None
    _said_at: float = 0.0
    _ended: set[str] = field(default_factory=set)

    def wait(self, is_true: Callable[[], object], seconds: float = 40.0) -> bool:
        """Play until something holds; tell whether it did in time."""
        end = time.monotonic() + seconds
        while True:
            self.play()
            if is_true():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(_POLL)

    def play(self) -> None:
        """Do what is to be done now; what changes meanwhile is for the next time."""
        try:
            owner = self.cluster.api.find("OptimizationJob", self.job, self.namespace)
            if owner is None:
                if self.heads is None:
                    self._collect_garbage()
                return
            for rayjob in self.cluster.api.list("RayJob", self.namespace):
                self._play_attempt(rayjob, owner["metadata"]["uid"])
        except ApiRefusedError as error:
            if error.code not in _GONE:
                raise

    def read_status(self) -> Manifest:
        """Return the status of the job; empty where there is none."""
        found = self.cluster.api.find("OptimizationJob", self.job, self.namespace) or {}
        status: Manifest = found.get("status", {})
        return status

    def says(self, kind: str) -> str:
        """Return a condition of the job as `True/Reason`; empty where it is absent."""
        for entry in self.read_status().get("conditions", []):
            if entry["type"] == kind:
                return f"{entry['status']}/{entry['reason']}"
        return ""

    def edit(self, **spec: Any) -> None:
        """Merge changes into the spec of the job."""
        self.cluster.api.patch("OptimizationJob", self.job, {"spec": spec}, self.namespace)

    def delete_job(self) -> None:
        """Delete the job, as people do; it may be gone already."""
        self.deleted = True
        with contextlib.suppress(ApiRefusedError):
            options = {"propagationPolicy": "Background"}
            self.cluster.api.delete("OptimizationJob", self.job, self.namespace, **options)

    def read_children(self) -> dict[tuple[str, str], Manifest]:
        """Return what was made for the job, by kind and name."""
        return {
            (kind, child["metadata"]["name"]): child
            for kind in CHILD_KINDS
            for child in self.cluster.api.list(kind, self.namespace, f"trimtab.dev/job={self.job}")
        }

    def _play_attempt(self, rayjob: Manifest, uid: str) -> None:
        metadata = rayjob["metadata"]
        self.seen.setdefault(metadata["name"], set()).add(metadata["uid"])
        deployment = rayjob.get("status", {}).get("jobDeploymentStatus", "")
        attempt = int(metadata["name"].rpartition("-a")[2])
        if deployment in _OVER:
            return
        if deployment != "Running":
            self._bring_up(rayjob, deployment)
            return
        told = self._read_control(attempt)
        if told is None:
            return
        self.told = told
        result = "Succeeded" if self.succeeds else "Stopped" if told.get("stop") else None
        wanted = told.get("numTrials", 0) if self.succeeds else self.trials
        self._report(uid, attempt, wanted, result)
        if result is not None:
            self._end(rayjob)

    def _bring_up(self, rayjob: Manifest, deployment: str) -> None:
        if self.heads is not None:
            return  # KubeRay does
        if self.starts:
            self._set_status(rayjob, "Running", "RUNNING")
        elif not deployment:
            self._set_status(rayjob, "Initializing", "")

    def _end(self, rayjob: Manifest) -> None:
        uid, name = rayjob["metadata"]["uid"], rayjob["metadata"]["name"]
        if self.heads is None:
            self._set_status(rayjob, "Complete", "SUCCEEDED")
        elif uid not in self._ended:
            self._ended.add(uid)
            self.heads.end_job(self.cluster, self.namespace, name)

    def _read_control(self, attempt: int) -> Manifest | None:
        """Return what the driver is told; None where that is for another attempt, or gone."""
        report = self.cluster.api.find("ConfigMap", f"{self.job}-progress", self.namespace) or {}
        told: Manifest = json.loads(report.get("data", {}).get("control.json", "{}"))
        return told if told.get("attempt") == attempt else None

    def _report(self, uid: str, attempt: int, trials: int, result: str | None) -> None:
        now = time.monotonic()
        said = (attempt, trials, result)
        if said == self._said and now - self._said_at < _HEARTBEAT:
            return
        self._said, self._said_at = said, now
        report: Manifest = {
            "schema": 1,
            "uid": uid,
            "attempt": attempt,
            "sequence": int(now * 100),
            "stage": "search",
            "trials": {"total": self.told.get("numTrials", trials), "succeeded": trials},
        }
        if result is not None:
            report["outcome"] = {"result": result}
        data = {"data": {"progress.json": json.dumps(report)}}
        self.cluster.api.patch("ConfigMap", f"{self.job}-progress", data, self.namespace)

    def _set_status(self, rayjob: Manifest, deployment: str, job: str) -> None:
        name, now = rayjob["metadata"]["name"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status: Manifest = {"jobDeploymentStatus": deployment, "jobStatus": job}
        if deployment == "Running":
            provisioned = {"type": "RayClusterProvisioned", "status": "True", "reason": "Ready"}
            status |= {
                "rayClusterName": f"{name}-x",
                "rayJobInfo": {"startTime": now},
                "rayClusterStatus": {
                    "desiredWorkerReplicas": 1,
                    "readyWorkerReplicas": 1,
                    "conditions": [{**provisioned, "message": "", "lastTransitionTime": now}],
                },
            }
        changes = {"status": status}
        self.cluster.api.patch("RayJob", name, changes, self.namespace, subresource="/status")

    def _collect_garbage(self) -> None:
        for kind, name in self.read_children():
            self.cluster.api.delete(kind, name, self.namespace)
