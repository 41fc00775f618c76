"""The plain manifests that install the operator: `kubectl apply --server-side -f deploy/`.

Called by `__main__`, which writes them to `deploy/`. The ClusterRole is made from the table that
the operator's own requests are made from; what can be set is as the chart's values are.
"""

from collections.abc import Iterable
from typing import Any

from trimtab_api.labels import LABEL_NAME, MANAGED_BY, NAME
from trimtab_codegen.chart_values import ChartValues
from trimtab_codegen.crd import build_crd
from trimtab_operator.cluster.kinds import CLUSTER_RULES, NAMESPACE_RULES, Rule

__all__ = ["build_deploy", "build_operator_manifests", "build_rules"]

_NAMESPACE = "trimtab-system"
_VALUES = ChartValues()
_LABELS = {LABEL_NAME: NAME, "app.kubernetes.io/component": "operator"}
_PORT = 8080
_METRICS_PORT = 8081
# Longer than kopf's own patience, so that it is not cut in the middle of a pass.
_GRACE_SECONDS = 30


def build_deploy() -> tuple[dict[str, Any], ...]:
    """Return all manifests, in the order in which they are to be applied."""
    namespace, *rest = build_operator_manifests()
    return (namespace, build_crd(), *rest)


def build_operator_manifests() -> tuple[dict[str, Any], ...]:
    """Return the manifests without the definition of OptimizationJob, the Namespace first."""
    return (
        _build_namespace(),
        _build_account(),
        _build_cluster_role(),
        _build_binding(),
        _build_network_policy(),
        _build_deployment(),
    )


def build_rules(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return rules as they stand in a role."""
    return [
        {
            "apiGroups": [rule.group],
            "resources": list(rule.resources),
            "verbs": list(rule.verbs),
        }
        for rule in rules
    ]


def _build_namespace() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": _NAMESPACE,
            "labels": {LABEL_NAME: NAME, "pod-security.kubernetes.io/enforce": "restricted"},
        },
    }


def _metadata(*, is_namespaced: bool = True) -> dict[str, Any]:
    place = {"namespace": _NAMESPACE} if is_namespaced else {}
    return {"name": MANAGED_BY, **place, "labels": dict(_LABELS)}


def _build_account() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata()}


def _build_cluster_role() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": _metadata(is_namespaced=False),
        "rules": build_rules((*NAMESPACE_RULES, *CLUSTER_RULES)),
    }


def _build_binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(is_namespaced=False),
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": MANAGED_BY,
        },
        "subjects": [{"kind": "ServiceAccount", "name": MANAGED_BY, "namespace": _NAMESPACE}],
    }


def _build_network_policy() -> dict[str, Any]:
    """Only the metrics are anybody's business; the kubelet of its node is let through anyway."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(),
        "spec": {
            "podSelector": {"matchLabels": dict(_LABELS)},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": "metrics"}]}],
        },
    }


def _build_deployment() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(),
        "spec": {
            "replicas": 1,
            # Two operators at once do no harm, but they do everything twice.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": dict(_LABELS)},
            "template": {
                "metadata": {
                    "labels": dict(_LABELS),
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(_METRICS_PORT),
                    },
                },
                "spec": {
                    "serviceAccountName": MANAGED_BY,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_build_container()],
                },
            },
        },
    }


def _build_container() -> dict[str, Any]:
    health = {"path": "/healthz", "port": "health"}
    return {
        "name": "operator",
        "image": _VALUES.image.reference(),
        "imagePullPolicy": str(_VALUES.image.pull_policy),
        "env": [
            {"name": "TRIMTAB_OPERATOR_TRAINER_IMAGE", "value": _VALUES.trainer_image.reference()},
            {"name": "TRIMTAB_OPERATOR_HEALTH_PORT", "value": str(_PORT)},
            {"name": "TRIMTAB_OPERATOR_METRICS_PORT", "value": str(_METRICS_PORT)},
        ],
        "ports": [
            {"name": "health", "containerPort": _PORT},
            {"name": "metrics", "containerPort": _METRICS_PORT},
        ],
        "startupProbe": {"httpGet": health, "periodSeconds": 5, "failureThreshold": 24},
        "livenessProbe": {
            "httpGet": health,
            "periodSeconds": 20,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        # Unready tells that nothing can be measured; jobs go on.
        "readinessProbe": {"tcpSocket": {"port": "metrics"}, "periodSeconds": 10},
        "resources": _VALUES.resources.model_dump(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
