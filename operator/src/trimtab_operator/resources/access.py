"""What the driver and target Jobs may do with the API: get and patch one ConfigMap.

The account is made unless the job names its own. Its token is mounted into pods that run the
driver or a target's measurement and into no others.
"""

from typing import Any

from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.names import report_name

__all__ = ["account_name", "build_role", "build_role_binding", "build_service_account"]

_RBAC = "rbac.authorization.k8s.io"


def account_name(identity: JobIdentity, named: str | None) -> str:
    """Return the service account of the job's pods.

    Args:
        identity: The job.
        named: spec.cluster.serviceAccountName.
    """
    return named or report_name(identity.name)


def build_service_account(identity: JobIdentity) -> dict[str, Any]:
    """Return the account that a job gets where it names none."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": identity.child_metadata(report_name(identity.name)),
        "automountServiceAccountToken": False,
    }


def build_role(identity: JobIdentity) -> dict[str, Any]:
    """Return the Role over the report ConfigMap."""
    name = report_name(identity.name)
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role",
        "metadata": identity.child_metadata(name),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [name],
                "verbs": ["get", "patch"],
            }
        ],
    }


def build_role_binding(identity: JobIdentity, account: str) -> dict[str, Any]:
    """Return what gives the Role to an account of the job's namespace."""
    name = report_name(identity.name)
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": identity.child_metadata(name),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": identity.namespace}],
    }
