"""What the chart renders: the same as `deploy/`, valid, restricted, and with no more rights than used."""

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate import validate
from ruamel.yaml import YAML

from helm_chart import (
    ALL_VALUES,
    CHART,
    MONITORED,
    NAMESPACE,
    RELEASE,
    HelmError,
    Manifest,
    Values,
    find_manifest,
    read_environment,
    render,
    render_hooks,
    render_text,
    run_helm,
)
from trimtab_codegen.deploy import build_deploy
from trimtab_operator.settings import Settings, read_settings

pytestmark = pytest.mark.helm

# Named by Helm's conventions, or how Helm knows what is its own; `deploy/` has none of it.
HELM_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}
KEEP = {"helm.sh/resource-policy": "keep"}

FEW: Values = {"watchNamespaces": ["vision", "speech"], "crds": {"install": False}}
CASES = pytest.mark.parametrize(
    "values", [{}, FEW, ALL_VALUES, MONITORED], ids=["defaults", "few", "all", "monitored"]
)
# Of Prometheus Operator; the tests on a server have its definitions.
FOREIGN = "monitoring.coreos.com/v1"


def strip_helm(node: Any) -> Any:
    """Leave out the labels of Helm, wherever labels stand."""
    if isinstance(node, dict):
        return {key: strip_helm(part) for key, part in node.items() if key not in HELM_LABELS}
    return [strip_helm(part) for part in node] if isinstance(node, list) else node


def list_rules(manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [rule for one in manifests for rule in one.get("rules", ())]


def render_part(template: str, values: Values | None = None) -> str:
    return render_text(values, "--show-only", f"templates/{template}")


@CASES
def test_helm_finds_nothing_to_say_against_the_chart(values: Values, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    YAML().dump(dict(values), path)
    told = run_helm("lint", "--strict", str(CHART), "--values", str(path))
    assert "0 chart(s) failed" in told
    assert "[WARNING]" not in told


def test_the_defaults_render_what_deploy_has() -> None:
    """The namespace is Helm's business there, and the definition is kept."""
    rendered = {(one["kind"], one["metadata"]["name"]): strip_helm(one) for one in render()}
    expected = {
        (one["kind"], one["metadata"]["name"]): one
        for one in build_deploy()
        if one["kind"] != "Namespace"
    }
    definition = ("CustomResourceDefinition", "optimizationjobs.trimtab.dev")
    assert rendered[definition]["metadata"].pop("annotations") == KEEP
    assert rendered == expected


@CASES
def test_each_manifest_fits_the_schema_of_kubernetes(values: Values) -> None:
    for manifest in [*render(values), *render_hooks(values)]:
        if manifest["apiVersion"] != FOREIGN:
            validate(manifest, "1.34", strict=True)


def test_each_object_says_which_release_it_is_of() -> None:
    manifests = [*render(ALL_VALUES), *render_hooks(ALL_VALUES), *render(MONITORED)]
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels.keys() >= HELM_LABELS, manifest["kind"]
        assert labels["app.kubernetes.io/instance"] == RELEASE


def test_the_test_is_not_taken_for_the_operator() -> None:
    selector = find_manifest(render(FEW), "Deployment")["spec"]["selector"]["matchLabels"]
    for manifest in render_hooks(FEW):
        assert not selector.items() <= manifest["metadata"]["labels"].items()


@CASES
def test_no_rule_has_a_wildcard_or_touches_secrets_or_runs_commands(values: Values) -> None:
    rules = list_rules([*render(values), *render_hooks(values)])
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"secrets", "pods/exec", "nodes"} & set(rule["resources"])
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_with_namespaces_the_operator_has_its_rights_in_these_only() -> None:
    manifests = render(FEW)
    in_cluster = list_rules([one for one in manifests if one["kind"] == "ClusterRole"])
    assert {tuple(rule["resources"]) for rule in in_cluster} == {
        ("customresourcedefinitions",),
        ("namespaces",),
    }
    assert {verb for rule in in_cluster for verb in rule["verbs"]} == {"list", "watch"}
    roles = {one["metadata"]["namespace"]: one for one in manifests if one["kind"] == "Role"}
    bindings = [one for one in manifests if one["kind"] == "RoleBinding"]
    assert set(roles) == {one["metadata"]["namespace"] for one in bindings} == {"vision", "speech"}
    all_rules = list_rules([one for one in build_deploy() if one["kind"] == "ClusterRole"])
    for role in roles.values():
        assert [*role["rules"], in_cluster[0]] == all_rules
    for binding in bindings:
        role = roles[binding["metadata"]["namespace"]]
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == ("trimtab-operator", NAMESPACE)


def test_operators_of_other_namespaces_share_no_name_in_the_cluster() -> None:
    def names(namespace: str) -> set[str]:
        return {
            one["metadata"]["name"]
            for one in render(FEW, namespace)
            if one["metadata"].get("namespace") != namespace
        }

    assert not names("first") & names("second")


def test_each_setting_of_the_operator_has_its_value_in_the_chart() -> None:
    """All but the port, which nobody else uses, and the factor by which tests shrink times."""
    environment = read_environment(render(ALL_VALUES))
    names = {name.removeprefix("TRIMTAB_OPERATOR_").lower() for name in environment}
    assert names == {entry.name for entry in fields(Settings)} - {"time_factor"}
    assert read_settings(environment) == Settings(
        trainer_image="ghcr.io/me/trainer:0.2.0",
        storage_uri="pvc://runs/all",
        ray_version="2.60.0",
        watch_namespaces=("vision", "speech"),
        log_level="DEBUG",
        metrics_port=8081,
        metrics_certificate=Path("/etc/trimtab/metrics/tls.crt"),
        metrics_key=Path("/etc/trimtab/metrics/tls.key"),
        metrics_client_ca=Path("/etc/trimtab/metrics/ca.crt"),
    )


def test_an_image_is_named_with_its_digest_where_there_is_one() -> None:
    pod = find_manifest(render(ALL_VALUES), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"ghcr.io/me/operator:0.1.0@sha256:{'a1' * 32}"
    (check,) = find_manifest(render_hooks(ALL_VALUES), "Pod")["spec"]["containers"]
    assert check["image"] == container["image"]


def test_f23_the_definition_can_be_left_to_somebody_else_and_be_had_alone() -> None:
    without = render({"crds": {"install": False}})
    assert "CustomResourceDefinition" not in {one["kind"] for one in without}
    alone: Any = YAML(typ="safe").load(render_part("crds.yaml"))
    (definition,) = [one for one in build_deploy() if one["kind"] == "CustomResourceDefinition"]
    assert alone["metadata"].pop("annotations") == KEEP
    assert alone == definition


def test_f20_a_definition_that_is_not_kept_goes_with_the_release() -> None:
    kept = find_manifest(render(), "CustomResourceDefinition")
    assert kept["metadata"]["annotations"] == KEEP
    loose = find_manifest(render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in loose["metadata"]
    assert loose["spec"] == kept["spec"]


def test_f76_the_pods_are_restricted_and_write_nowhere() -> None:
    operator = find_manifest(render(FEW), "Deployment")["spec"]["template"]["spec"]
    check = find_manifest(render_hooks(FEW), "Pod")["spec"]
    for pod in (operator, check):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }


def test_with_ports_of_the_api_server_the_operator_reaches_nothing_else() -> None:
    spec = find_manifest(render(ALL_VALUES), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": "metrics"}]}]
    ports = {(port["protocol"], port["port"]) for rule in spec["egress"] for port in rule["ports"]}
    assert ports == {("TCP", 443), ("TCP", 6443), ("TCP", 53), ("UDP", 53)}


def test_without_metrics_nothing_listens_for_them() -> None:
    values: Values = {"metrics": {"enabled": False}}
    assert "metrics" not in render_part("deployment.yaml", values)
    assert "ingress" not in find_manifest(render(values), "NetworkPolicy")["spec"]


@pytest.mark.parametrize("name", ["team.vision", "2nd"])
def test_a_release_whose_name_no_service_may_have_is_refused(name: str) -> None:
    with pytest.raises(HelmError, match=rf'release is named "{name}", but a Service must begin'):
        run_helm("template", name, str(CHART), "--namespace", NAMESPACE)


def test_the_chart_can_be_a_part_of_another(tmp_path: Path) -> None:
    """Helm hands parts a key `global`, which a strict schema must know."""
    chart = tmp_path / "platform"
    shutil.copytree(CHART, chart / "charts" / "trimtab")
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: platform\nversion: 1.0.0\n")
    (chart / "values.yaml").write_text("global: {region: here}\ntrimtab: {logLevel: DEBUG}\n")
    text = run_helm("template", "platform", str(chart), "--namespace", NAMESPACE)
    assert "value: DEBUG" in text
    assert "name: platform-operator" in text
