"""What is still there in a namespace of tier K of all that was made for its jobs."""

from cluster.access import Cluster

__all__ = ["list_leftovers"]

_KINDS = (
    "RayJob",
    "RayCluster",
    "Job",
    "Pod",
    "Service",
    "Secret",
    "ConfigMap",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
)
_ALWAYS_THERE = frozenset({"ConfigMap kube-root-ca.crt", "ServiceAccount default"})


def list_leftovers(cluster: Cluster, namespace: str) -> list[str]:
    """Return kind and name of each object but those that every namespace has; claims stay out."""
    found = [
        f"{kind} {one['metadata']['name']}"
        for kind in _KINDS
        for one in cluster.api.list(kind, namespace)
    ]
    return [name for name in found if name not in _ALWAYS_THERE]
