"""One OptimizationJob on a test cluster: made, edited, and read as people read it.

Tests of the operator process wait for what it says here. Where no KubeRay runs, `play` says what
KubeRay would say of an attempt; `report` says what a driver would.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from cluster.access import Cluster
from cluster.api import ApiRefusedError, Manifest
from cluster.kinds import CHILD_KINDS
from cluster.processes import wait_until
from trimtab_api.labels import KEY_PROGRESS, target_key
from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.v1alpha1.conditions import FailedReason

__all__ = ["WatchedJob", "make_job"]

_SECONDS = 60.0


def make_job(namespace: str, name: str = "digits", **spec: Any) -> Manifest:
    """Return a small job on S3; `spec` replaces fields."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"builtin": "mlp"},
            "dataset": {"builtin": "digits"},
            "stages": {"search": {"numTrials": 4, "parallelTrials": 2}, "train": {}},
            "cluster": {"device": "cpu"},
            "storage": {"uri": "s3://runs/all"},
            **spec,
        },
    }


@dataclass(slots=True)
class WatchedJob:
    """A job that exists, and whoever plays the programs around it."""

    cluster: Cluster
    namespace: str
    name: str = "digits"

    @classmethod
    def create(cls, cluster: Cluster, manifest: Manifest) -> "WatchedJob":
        """Create a job."""
        metadata = cluster.api.create(manifest)["metadata"]
        return cls(cluster, metadata["namespace"], metadata["name"])

    def read(self) -> Manifest:
        """Return the whole object."""
        return self.cluster.api.get("OptimizationJob", self.name, self.namespace)

    def status(self) -> Manifest:
        """Return its status; {} before the first."""
        return dict(self.read().get("status", {}))

    def edit(self, spec: object) -> None:
        """Merge changes into the spec."""
        self.cluster.api.patch("OptimizationJob", self.name, {"spec": spec}, self.namespace)

    def annotate(self, key: str, value: str) -> None:
        """Set an annotation."""
        changes = {"metadata": {"annotations": {key: value}}}
        self.cluster.api.patch("OptimizationJob", self.name, changes, self.namespace)

    def condition(self, kind: str) -> Manifest:
        """Return a condition; {} where it is absent."""
        found = [one for one in self.status().get("conditions", ()) if one["type"] == kind]
        return dict(found[0]) if found else {}

    def said(self, kind: str) -> str:
        """Return a condition as `True/Reason`; empty where it is absent."""
        found = self.condition(kind)
        return f"{found['status']}/{found['reason']}" if found else ""

    def words(self, kind: str) -> str:
        """Return the message of a condition; empty where it is absent."""
        return str(self.condition(kind).get("message", ""))

    def events(self, reason: str) -> list[str]:
        """Return the messages of the job's events of a reason."""
        uid = self.read()["metadata"]["uid"]
        return [
            event["message"]
            for event in self.cluster.api.list("Event", self.namespace)
            if event["reason"] == reason and event["involvedObject"].get("uid") == uid
        ]

    def wait_for_events(self, reason: str) -> list[str]:
        """Return the messages of a reason once there is one: events follow the status.

        Raises:
            TimeoutError: None came.
        """
        self.wait(lambda: bool(self.events(reason)))
        return self.events(reason)

    def children(self) -> dict[tuple[str, str], Manifest]:
        """Return what was made for it, by kind and name."""
        labels = f"trimtab.dev/job={self.name}"
        return {
            (kind, child["metadata"]["name"]): child
            for kind in CHILD_KINDS
            for child in self.cluster.api.list(kind, self.namespace, labels)
        }

    def rayjob(self, attempt: int = 1) -> Manifest | None:
        """Return the RayJob of an attempt; None where there is none."""
        return self.cluster.api.find("RayJob", f"{self.name}-a{attempt}", self.namespace)

    def pods(self, role: str) -> list[Manifest]:
        """Return the pods of a role: head or worker."""
        labels = f"trimtab.dev/job={self.name},ray.io/node-type={role}"
        return self.cluster.api.list("Pod", self.namespace, labels)

    def wait(self, is_true: Callable[[], bool], seconds: float = _SECONDS) -> None:
        """Wait until something holds.

        Raises:
            TimeoutError: It does not; with the status.
        """
        if not wait_until(is_true, seconds):
            raise TimeoutError(f"after {seconds:.0f} s: {json.dumps(self.status(), indent=1)}")

    def wait_for(self, kind: str, said: str, seconds: float = _SECONDS) -> None:
        """Wait until a condition is `True/Reason`."""
        self.wait(lambda: self.said(kind) == said, seconds)

    def wait_for_attempt(self, attempt: int, seconds: float = _SECONDS) -> None:
        """Wait until an attempt is made and the status tells of it."""
        self.wait(
            lambda: (
                self.rayjob(attempt) is not None
                and self.cluster.api.find("ConfigMap", f"{self.name}-a{attempt}", self.namespace)
                is not None
                and self.status().get("attempt") == attempt
            ),
            seconds,
        )

    # Whoever is not there.

    def play(self, attempt: int = 1, **status: Any) -> None:
        """Say something of a RayJob, as KubeRay does; of one that is done and deleted, nothing."""
        name = f"{self.name}-a{attempt}"
        changes = {"status": status}
        try:
            self.cluster.api.patch("RayJob", name, changes, self.namespace, subresource="/status")
        except ApiRefusedError as error:
            if (
                error.code != HTTPStatus.NOT_FOUND
                or status.get("jobDeploymentStatus") != "Complete"
            ):
                raise

    def play_start(self, attempt: int = 1) -> None:
        """Say that the Ray cluster is up and the driver runs."""
        self.play(
            attempt,
            jobDeploymentStatus="Running",
            jobStatus="RUNNING",
            rayClusterName=f"{self.name}-a{attempt}-x",
            rayClusterStatus={"desiredWorkerReplicas": 2},
        )

    def report(self, attempt: int = 1, *, sequence: int = 1, **fields: Any) -> None:
        """Report as the driver of an attempt."""
        uid = fields.pop("uid", None) or self.read()["metadata"]["uid"]
        content = {"schema": 1, "uid": uid, "attempt": attempt, "sequence": sequence, **fields}
        self.write_report(json.dumps(content))

    def end(
        self,
        attempt: int = 1,
        *,
        sequence: int = 1000,
        result: OutcomeResult = OutcomeResult.SUCCEEDED,
        reason: FailedReason | None = None,
        message: str = "",
        **fields: Any,
    ) -> None:
        """Report the end as the driver of an attempt."""
        outcome = Outcome(result=result, reason=reason, message=message)
        told = outcome.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.report(attempt, sequence=sequence, outcome=told, **fields)

    def report_target(self, target: str, attempt: int = 1) -> None:
        """Report as the Job of a placed target."""
        content = {
            "schema": 1,
            "uid": self.read()["metadata"]["uid"],
            "attempt": attempt,
            "node": "pi-1",
            "device": "cpu",
            "baseline": {"latency_p50_ms": 3.0},
            "candidates": {"dense": {"latency_p50_ms": 3.0, "speedup": 1.0}},
        }
        self.write_report(json.dumps(content), target_key(target))

    def write_report(self, text: str, key: str = KEY_PROGRESS) -> None:
        """Write a key of the report, whatever it is."""
        name = f"{self.name}-progress"
        self.cluster.api.patch("ConfigMap", name, {"data": {key: text}}, self.namespace)
