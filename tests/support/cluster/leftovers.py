"""What is still there of all that was made for jobs, or by a release of the chart."""

from cluster.access import Cluster

__all__ = ["is_furnished", "list_leftovers", "list_objects"]

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
_OF_RELEASES = (
    "Deployment",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Pod",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
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


def is_furnished(cluster: Cluster, namespace: str) -> bool:
    """Return whether a new namespace has all that Kubernetes puts into each, so pods can be made."""
    kinds = (name.split() for name in _ALWAYS_THERE)
    return all(cluster.api.find(kind, name, namespace) is not None for kind, name in kinds)


def list_objects(cluster: Cluster) -> set[tuple[str, str]]:
    """Return kind and name, with its namespace, of all that a release could leave anywhere."""
    return {
        (kind, f"{one['metadata'].get('namespace', '')}/{one['metadata']['name']}")
        for kind in _OF_RELEASES
        for one in cluster.api.list(kind)
    }
