"""Who may reach the Ray clusters of a job.

Ray's ports run code for whoever reaches them with the cluster's token. So pods of the job take
traffic from each other, and the head's dashboard port from KubeRay, which polls the job there.
"""

from typing import Any

from trimtab_api.labels import LABEL_JOB_UID
from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.names import network_name

__all__ = ["build_network_policy"]

_DASHBOARD_PORT = 8265


def build_network_policy(identity: JobIdentity) -> dict[str, Any]:
    """Return the policy over every pod of the job; it denies all other ingress."""
    own = {"matchLabels": {LABEL_JOB_UID: identity.uid}}
    # Chart and plain manifests of KubeRay share this label; its namespace is anyone's choice.
    kuberay = {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "kuberay-operator"}},
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": identity.child_metadata(network_name(identity.name)),
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": own}]},
                {"from": [kuberay], "ports": [{"port": _DASHBOARD_PORT, "protocol": "TCP"}]},
            ],
        },
    }
