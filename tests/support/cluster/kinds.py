"""Where the API server keeps the objects of each kind that the tests touch."""

from dataclasses import dataclass

__all__ = ["CHILD_KINDS", "collection_path", "object_path"]

CHILD_KINDS = (
    "RayJob",
    "ConfigMap",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "Job",
)
"""What the operator makes for a job."""


@dataclass(frozen=True, slots=True)
class _Kind:
    group_version: str
    plural: str

    @property
    def prefix(self) -> str:
        return ("/apis/" if "/" in self.group_version else "/api/") + self.group_version


_KINDS = {
    "Namespace": _Kind("v1", "namespaces"),
    "Node": _Kind("v1", "nodes"),
    "Pod": _Kind("v1", "pods"),
    "Service": _Kind("v1", "services"),
    "ServiceAccount": _Kind("v1", "serviceaccounts"),
    "Secret": _Kind("v1", "secrets"),
    "ConfigMap": _Kind("v1", "configmaps"),
    "Event": _Kind("v1", "events"),
    "PersistentVolume": _Kind("v1", "persistentvolumes"),
    "PersistentVolumeClaim": _Kind("v1", "persistentvolumeclaims"),
    "ResourceQuota": _Kind("v1", "resourcequotas"),
    "Deployment": _Kind("apps/v1", "deployments"),
    "Job": _Kind("batch/v1", "jobs"),
    "Lease": _Kind("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": _Kind("networking.k8s.io/v1", "networkpolicies"),
    "Role": _Kind("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": _Kind("rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": _Kind("rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": _Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "PodDisruptionBudget": _Kind("policy/v1", "poddisruptionbudgets"),
    "PriorityClass": _Kind("scheduling.k8s.io/v1", "priorityclasses"),
    "MutatingAdmissionPolicy": _Kind(
        "admissionregistration.k8s.io/v1", "mutatingadmissionpolicies"
    ),
    "MutatingAdmissionPolicyBinding": _Kind(
        "admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings"
    ),
    "ValidatingAdmissionPolicy": _Kind(
        "admissionregistration.k8s.io/v1", "validatingadmissionpolicies"
    ),
    "ValidatingAdmissionPolicyBinding": _Kind(
        "admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings"
    ),
    "CustomResourceDefinition": _Kind("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "ServiceMonitor": _Kind("monitoring.coreos.com/v1", "servicemonitors"),
    "PodMonitor": _Kind("monitoring.coreos.com/v1", "podmonitors"),
    "PrometheusRule": _Kind("monitoring.coreos.com/v1", "prometheusrules"),
    "OptimizationJob": _Kind("trimtab.dev/v1alpha1", "optimizationjobs"),
    "RayJob": _Kind("ray.io/v1", "rayjobs"),
    "RayCluster": _Kind("ray.io/v1", "rayclusters"),
}


def collection_path(kind: str, namespace: str | None) -> str:
    """Return the path of the objects of a kind, of one namespace or of the whole cluster.

    Raises:
        KeyError: The kind is not known here.
    """
    where = _KINDS[kind]
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{where.prefix}{inside}/{where.plural}"


def object_path(kind: str, name: str, namespace: str | None) -> str:
    """Return the path of one object.

    Raises:
        KeyError: The kind is not known here.
    """
    return f"{collection_path(kind, namespace)}/{name}"
