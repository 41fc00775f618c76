"""Kueue, as far as a RayJob sees it: born suspended where it names a queue, then let in and evicted.

Its webhook is played by an admission policy, so that no RayJob is ever seen before it is held. Its
controller is the field manager `kueue`.
"""

from dataclasses import dataclass
from typing import Self

from cluster.access import Cluster
from cluster.api import Api, Manifest
from cluster.errors import ClusterStartError
from cluster.processes import wait_until

__all__ = ["QUEUE_LABEL", "PlayedQueue"]

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_VERSION = "admissionregistration.k8s.io/v1"
_NAME = "played-queue"
_SECONDS = 30


@dataclass(slots=True)
class PlayedQueue:
    """Holds RayJobs back while it is a context, and lets them in when a test says so."""

    cluster: Cluster

    def __enter__(self) -> Self:
        for manifest in (_POLICY, _BINDING):
            self.cluster.api.create(manifest)
        # A policy works a moment after it was made.
        if not wait_until(lambda: _is_held(self.cluster.api), _SECONDS):
            raise ClusterStartError(f"RayJobs are not held back after {_SECONDS} s")
        return self

    def __exit__(self, *_: object) -> None:
        for manifest in (_BINDING, _POLICY):
            self.cluster.api.delete(manifest["kind"], _NAME)

    def let_in(self, namespace: str, rayjob: str) -> None:
        """Give a RayJob its quota."""
        self._write(namespace, rayjob, suspend=False)

    def evict(self, namespace: str, rayjob: str) -> None:
        """Take the quota of a RayJob back."""
        self._write(namespace, rayjob, suspend=True)

    def _write(self, namespace: str, rayjob: str, *, suspend: bool) -> None:
        metadata = {"name": rayjob, "namespace": namespace}
        field = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata}
        self.cluster.api.apply({**field, "spec": {"suspend": suspend}}, "kueue")


_POLICY: Manifest = {
    "apiVersion": _VERSION,
    "kind": "MutatingAdmissionPolicy",
    "metadata": {"name": _NAME},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["ray.io"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["rayjobs"],
                }
            ]
        },
        "matchConditions": [
            {
                "name": "names-a-queue",
                "expression": f"'{QUEUE_LABEL}' in object.metadata.?labels.orValue({{}})",
            }
        ],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {
                    "expression": "Object{spec: Object.spec{suspend: true}}",
                },
            }
        ],
    },
}
_BINDING: Manifest = {
    "apiVersion": _VERSION,
    "kind": "MutatingAdmissionPolicyBinding",
    "metadata": {"name": _NAME},
    "spec": {"policyName": _NAME},
}


def _is_held(api: Api) -> bool:
    probe: Manifest = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": "probe", "namespace": "default", "labels": {QUEUE_LABEL: "any"}},
        "spec": {"entrypoint": "true"},
    }
    return api.create(probe, dry_run=True)["spec"].get("suspend") is True
