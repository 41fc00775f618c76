"""A namespace in memory for the tests of the planner: one job, what was made for it, and a clock.

It stores raw objects as the API server would and shows them through the operator's own views. It
applies, deletes and remembers events; KubeRay and the driver are played by the test.
"""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from trimtab_api.events import EventReason
from trimtab_api.progress import Outcome, OutcomeResult, ProgressReport
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_api.v1alpha1.status import Condition, Status
from trimtab_operator.reconcile.actions import Action, Apply, Delete, DeleteJob, PostEvent
from trimtab_operator.reconcile.observed import Observed, ReportView
from trimtab_operator.reconcile.plan import plan
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.status import next_status
from trimtab_operator.reconcile.verdict import Plan
from trimtab_operator.reconcile.views import (
    read_job,
    read_object,
    read_pod,
    read_rayjob,
    read_target_job,
)
from trimtab_operator.resources.child_settings import ChildSettings

__all__ = ["UID", "JobWorld", "make_manifest", "make_pod", "make_report", "make_settings"]

UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
_START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def make_settings(**changes: Any) -> PlanSettings:
    """Return settings with a default storage."""
    children = ChildSettings(image="trimtab/trainer:test", storage_uri="s3://runs/tests")
    return PlanSettings(children=children, **changes)


def make_manifest(**spec: Any) -> dict[str, Any]:
    """Return a job as the API server would hold it."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {
            "name": "digits",
            "namespace": "team",
            "uid": UID,
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": "2026-11-24T12:00:00Z",
        },
        "spec": {
            "model": {"builtin": "small-cnn"},
            "dataset": {"builtin": "digits"},
            "stages": {"search": {"numTrials": 8, "parallelTrials": 2}, "train": {}},
            **spec,
        },
    }


class JobWorld:
    """One job and its objects."""

    def __init__(self, manifest: dict[str, Any] | None = None, **settings: Any) -> None:
        self.manifest = manifest or make_manifest()
        self.settings = make_settings(**settings)
        self.now = _START
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.claims: frozenset[str] = frozenset()
        self.report = ReportView()
        self.kuberay_problem: str | None = None
        self.silent_seconds = 0.0
        self.events = list[EventReason]()
        self.gone = False
        self._versions = 1

    # What the operator does.

    def observe(self) -> Observed:
        """Return everything as the operator would see it."""
        raw = copy.deepcopy(self.objects)
        own = {key: value for key, value in raw.items() if _is_own(value)}
        return Observed(
            now=self.now,
            job=read_job(copy.deepcopy(self.manifest)),
            rayjobs=tuple(read_rayjob(value) for key, value in own.items() if key[0] == "RayJob"),
            pods=tuple(read_pod(pod) for pod in copy.deepcopy(self.pods)),
            target_jobs=tuple(
                read_target_job(value) for key, value in own.items() if key[0] == "Job"
            ),
            objects={
                key: read_object(value)
                for key, value in raw.items()
                if key not in own or key[0] not in {"RayJob", "Job"}
            },
            claims=self.claims,
            kuberay_problem=self.kuberay_problem,
            report=self.report,
            silent_seconds=self.silent_seconds,
        )

    def plan(self) -> Plan:
        """Return the plan for what is there."""
        return plan(self.observe(), self.settings)

    def step(self, *, most_actions: int | None = None) -> Plan:
        """Run one pass: plan, apply, status.

        Args:
            most_actions: Where the operator is killed: after so many actions, before the status.
        """
        observed = self.observe()
        planned = plan(observed, self.settings)
        writes = [action for action in planned.actions if not isinstance(action, PostEvent)]
        for action in writes[:most_actions]:
            self.carry_out(action)
        if most_actions is not None:
            return planned
        status = next_status(observed, planned, self.settings)
        if status is not None:
            text = status.model_dump(mode="json", by_alias=True, exclude_none=True)
            self.manifest["status"] = text
        self.events += [
            action.reason for action in planned.actions if isinstance(action, PostEvent)
        ]
        return planned

    def settle(self, most: int = 10) -> Plan:
        """Run passes until nothing is written any more, and return the last plan."""
        for _ in range(most):
            before = copy.deepcopy((self.objects, self.manifest))
            planned = self.step()
            if before == (self.objects, self.manifest):
                return planned
        raise AssertionError(f"still writing after {most} passes: {planned.actions}")

    def carry_out(self, action: Action) -> None:
        """Do what an action says."""
        match action:
            case Apply(manifest):
                self._apply(manifest)
            case Delete():
                self._delete(action)
            case DeleteJob():
                self.gone = True
            case PostEvent():
                self.events.append(action.reason)

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        key = (manifest["kind"], manifest["metadata"]["name"])
        self._versions += 1
        stored = copy.deepcopy(dict(manifest))
        old = self.objects.get(key, {})
        metadata = {
            "uid": f"uid-{self._versions}",
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **old.get("metadata", {}),
            **stored["metadata"],
            "resourceVersion": str(self._versions),
        }
        merged = {**old, **stored, "metadata": metadata}
        if old.get("data"):
            merged["data"] = {**old["data"], **stored.get("data", {})}
        self.objects[key] = merged

    def _delete(self, action: Delete) -> None:
        key = (str(action.kind), action.name)
        found = self.objects.get(key)
        if found is None or found["metadata"]["uid"] != action.uid:
            return
        if found["metadata"]["resourceVersion"] == action.resource_version:
            self.remove(*key)

    # What others do.

    def remove(self, kind: str, name: str) -> None:
        """Delete an object, and the pods of a RayJob with it."""
        del self.objects[(kind, name)]
        if kind == "RayJob":
            attempt = name.rpartition("-a")[2]
            self.pods = [
                pod
                for pod in self.pods
                if pod["metadata"]["labels"]["trimtab.dev/attempt"] != attempt
            ]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def edit(self, **spec: Any) -> None:
        """Change fields of the spec."""
        self.manifest["spec"] |= spec
        self.manifest["metadata"]["generation"] += 1

    def annotate(self, key: str, value: str) -> None:
        """Set an annotation of the job."""
        self.manifest["metadata"].setdefault("annotations", {})[key] = value

    def label(self, key: str, value: str) -> None:
        """Set a label of the job."""
        self.manifest["metadata"].setdefault("labels", {})[key] = value

    def rayjob(self, attempt: int = 1) -> dict[str, Any]:
        """Return a RayJob, to read or to change."""
        return self.objects["RayJob", f"digits-a{attempt}"]

    def set_rayjob(self, attempt: int = 1, **status: Any) -> None:
        """Set fields of the status of a RayJob, as KubeRay does."""
        self._versions += 1
        rayjob = self.rayjob(attempt)
        rayjob.setdefault("status", {}).update(status)
        rayjob["metadata"]["resourceVersion"] = str(self._versions)

    def start(self, attempt: int = 1) -> None:
        """Let KubeRay bring a cluster up and start the driver."""
        self.set_rayjob(
            attempt,
            jobDeploymentStatus="Running",
            jobStatus="RUNNING",
            rayClusterName=f"digits-a{attempt}-x",
            rayJobInfo={"startTime": self.now.strftime("%Y-%m-%dT%H:%M:%SZ")},
            rayClusterStatus={
                "desiredWorkerReplicas": 2,
                "readyWorkerReplicas": 2,
            },
        )
        self.pods += [
            make_pod(f"a{attempt}-{name}", role, attempt)
            for name, role in (("head", "head"), ("w0", "worker"), ("w1", "worker"))
        ]

    def end(self, attempt: int = 1, *, deployment: str, reason: str = "", job: str = "") -> None:
        """Let KubeRay call a RayJob over, and clear its cluster."""
        self.set_rayjob(attempt, jobDeploymentStatus=deployment, reason=reason, jobStatus=job)
        self.pods = [
            pod
            for pod in self.pods
            if pod["metadata"]["labels"]["trimtab.dev/attempt"] != str(attempt)
        ]

    def tell(self, report: ProgressReport) -> None:
        """Let the driver report."""
        self.report = ReportView(progress=report, targets=self.report.targets)

    def finish(
        self,
        attempt: int = 1,
        result: OutcomeResult = OutcomeResult.SUCCEEDED,
        reason: FailedReason | None = None,
    ) -> None:
        """Let the driver end with an outcome, and its RayJob with it."""
        outcome = Outcome(result=result, reason=reason, message="the driver's words")
        self.tell(make_report(attempt, outcome=outcome))
        self.end(attempt, deployment="Complete", job="SUCCEEDED")

    # What people read.

    @property
    def status(self) -> Status:
        """Return the status as it was written last."""
        return Status.model_validate(self.manifest["status"])

    def condition(self, kind: str) -> Condition | None:
        """Return a condition of the status."""
        return next((entry for entry in self.status.conditions if entry.type == kind), None)

    def said(self, kind: str) -> str | None:
        """Return a condition as `True/Reason`; None where it is absent."""
        found = self.condition(kind)
        return f"{found.status}/{found.reason}" if found else None

    def words(self, kind: str) -> str:
        """Return the message of a condition; empty where it is absent."""
        found = self.condition(kind)
        return found.message if found else ""

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of a kind."""
        return sorted(name for other, name in self.objects if other == kind)


def make_report(attempt: int = 1, **fields: Any) -> ProgressReport:
    """Return a report of the world's job."""
    return ProgressReport(**{"uid": UID, "attempt": attempt, "sequence": 1, **fields})


def make_pod(name: str, role: str, attempt: int, **status: Any) -> dict[str, Any]:
    """Return a pod of an attempt that runs."""
    labels = {"trimtab.dev/attempt": str(attempt), "trimtab.dev/job-uid": UID}
    if role in {"head", "worker"}:
        labels["ray.io/node-type"] = role
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": "2026-11-24T12:00:00Z"},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            **status,
        },
    }


def _is_own(raw: Mapping[str, Any]) -> bool:
    metadata = raw["metadata"]
    labelled = (metadata.get("labels") or {}).get("trimtab.dev/job-uid") == UID
    owners = metadata.get("ownerReferences") or []
    return labelled or any(owner.get("uid") == UID for owner in owners)
