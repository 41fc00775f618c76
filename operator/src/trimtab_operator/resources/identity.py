"""Who a child belongs to: labels and owner reference. Used by every builder of this package."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab_api.labels import (
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    MANAGED_BY,
    NAME,
    QUEUE_LABEL_PREFIX,
)
from trimtab_api.v1alpha1.job import API_VERSION, KIND

__all__ = ["JobIdentity", "pick_queue_labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobIdentity:
    """The job that children are made for."""

    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def child_metadata(
        self, name: str, *, attempt: int | None = None, labels: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the metadata of a child.

        Deletion of the job must never wait for a child, so the reference does not block it.

        Args:
            name: Of the child.
            attempt: The attempt that it belongs to; None for what all attempts share.
            labels: More labels.
        """
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": {**(labels or {}), **self.child_labels(attempt)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        }

    def child_labels(self, attempt: int | None = None) -> dict[str, str]:
        """Return the labels of a child or of a pod."""
        labels = {
            LABEL_NAME: NAME,
            LABEL_MANAGED_BY: MANAGED_BY,
            LABEL_JOB: self.name,
            LABEL_JOB_UID: self.uid,
        }
        return labels if attempt is None else {**labels, LABEL_ATTEMPT: str(attempt)}

    def queue_labels(self) -> dict[str, str]:
        """Return the labels of the job that a RayJob takes over: those of queues, no others."""
        return pick_queue_labels(self.labels)


def pick_queue_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return those of some labels that queues read or write."""
    return {key: value for key, value in labels.items() if key.startswith(QUEUE_LABEL_PREFIX)}
