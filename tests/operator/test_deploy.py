"""The manifests that install the operator are valid, restricted, and ask for no more than it uses."""

from typing import Any

import pytest
from kubernetes_validate import validate

from trimtab_codegen.deploy import build_operator_manifests
from trimtab_operator.settings import read_settings

MANIFESTS = {manifest["kind"]: manifest for manifest in build_operator_manifests()}
RULES: list[dict[str, Any]] = MANIFESTS["ClusterRole"]["rules"]


@pytest.mark.parametrize("kind", list(MANIFESTS))
def test_each_manifest_fits_the_schema_of_kubernetes(kind: str) -> None:
    validate(MANIFESTS[kind], "1.34", strict=True)


def test_no_rule_has_a_wildcard_or_touches_secrets_or_runs_commands() -> None:
    for rule in RULES:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"secrets", "pods/exec", "nodes"} & set(rule["resources"])
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_the_spec_of_a_job_is_never_written() -> None:
    verbs = {
        resource: set(rule["verbs"])
        for rule in RULES
        for resource in rule["resources"]
        if rule["apiGroups"] == ["trimtab.dev"]
    }
    assert verbs == {
        "optimizationjobs": {"get", "list", "watch", "delete"},
        "optimizationjobs/status": {"patch"},
    }


def test_the_operator_holds_what_it_grants_to_drivers() -> None:
    held = {
        verb
        for rule in RULES
        for verb in rule["verbs"]
        if rule["apiGroups"] == [""] and "configmaps" in rule["resources"]
    }
    assert {"get", "patch"} <= held


def test_f76_the_pod_passes_the_restricted_standard_with_a_read_only_root() -> None:
    pod = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert ":latest" not in container["image"]
    assert ":" in container["image"]


def test_only_for_metrics_may_anybody_connect_to_the_operator() -> None:
    spec = MANIFESTS["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": "metrics"}]}]
    labels = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"] == {"matchLabels": labels}


def test_there_is_one_operator_and_it_is_asked_whether_it_lives() -> None:
    spec = MANIFESTS["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (container,) = spec["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30


def test_the_metrics_are_found_where_the_operator_serves_them() -> None:
    template = MANIFESTS["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    settings = read_settings(environment)
    assert ports == {"health": settings.health_port, "metrics": settings.metrics_port}
    assert len(set(ports.values())) == 2
    assert container["readinessProbe"]["tcpSocket"] == {"port": "metrics"}
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(settings.metrics_port),
    }
