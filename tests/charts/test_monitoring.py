"""What the chart renders for Prometheus Operator and Grafana: read once, over TLS, and word for word."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cluster.prometheus import run_promtool
from dashboards import BOARDS, RULES, list_alerts
from helm_chart import (
    MONITORED,
    NAMESPACE,
    RELEASE,
    HelmError,
    Manifest,
    Values,
    find_manifest,
    render,
)

pytestmark = pytest.mark.helm

POD_MONITOR: Values = {"crds": {"install": False}, "podMonitor": {"enabled": True}}
SERVICE_MONITOR: Values = {"crds": {"install": False}, "serviceMonitor": {"enabled": True}}
RULE: Values = {"crds": {"install": False}, "prometheusRule": {"enabled": True}}


def find_pod(manifests: list[Manifest]) -> Manifest:
    return dict(find_manifest(manifests, "Deployment")["spec"]["template"])


def read_endpoint(manifests: list[Manifest], kind: str) -> dict[str, Any]:
    key = "endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"
    (endpoint,) = find_manifest(manifests, kind)["spec"][key]
    return dict(endpoint)


def forget_namespace(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the rules as their files have them, which ask for an operator of any namespace."""
    own = json.dumps(f'{{namespace="{NAMESPACE}"}}')[1:-1]
    text = json.dumps(spec)
    assert text.count(own) == 1
    return dict(json.loads(text.replace(own, "")))


def test_nothing_is_made_for_prometheus_operator_and_grafana_by_default() -> None:
    kinds = {one["kind"] for one in render()}
    assert not kinds & {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Service", "ConfigMap"}


def test_a_service_monitor_finds_the_service_and_the_service_the_pod() -> None:
    manifests = render(SERVICE_MONITOR)
    service, monitor = (find_manifest(manifests, kind) for kind in ("Service", "ServiceMonitor"))
    pod = find_pod(manifests)
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert service["metadata"]["namespace"] == NAMESPACE
    (port,) = service["spec"]["ports"]
    endpoint = read_endpoint(manifests, "ServiceMonitor")
    assert endpoint == {"port": port["name"], "path": "/metrics", "interval": "30s"}
    assert port["targetPort"] in [one["name"] for one in pod["spec"]["containers"][0]["ports"]]


def test_a_pod_monitor_finds_the_pod() -> None:
    manifests = render(POD_MONITOR)
    pod, monitor = find_pod(manifests), find_manifest(manifests, "PodMonitor")
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= pod["metadata"]["labels"].items()
    endpoint = read_endpoint(manifests, "PodMonitor")
    assert endpoint == {"port": "metrics", "path": "/metrics", "interval": "30s"}
    assert all(one["kind"] != "Service" for one in manifests)


@pytest.mark.parametrize(
    "values",
    [
        SERVICE_MONITOR,
        POD_MONITOR,
        {"metrics": {"tlsSecret": "metrics-tls", "clientCertificates": True}},
        {"metrics": {"enabled": False}},
    ],
    ids=["ServiceMonitor", "PodMonitor", "client certificates", "no metrics"],
)
def test_a_pod_asks_to_be_scraped_only_where_nothing_else_reads_it_and_everybody_may(
    values: Values,
) -> None:
    asked = {"prometheus.io/scrape", "prometheus.io/port"}
    assert find_pod(render())["metadata"]["annotations"].keys() == asked
    own = {"example.com/team": "vision"}
    assert "annotations" not in find_pod(render(values))["metadata"]
    noted = find_pod(render({**values, "podAnnotations": own}))["metadata"]["annotations"]
    assert noted == own


def test_an_annotation_of_ones_own_takes_the_place_of_the_charts() -> None:
    """A key that stands there twice is refused by who reads YAML strictly, as the parser here."""
    own = {"prometheus.io/scrape": "false", "prometheus.io/port": "", "example.com/team": "vision"}
    values = {"metrics": {"tlsSecret": "metrics-tls"}, "podAnnotations": own}
    noted = find_pod(render(values))["metadata"]["annotations"]
    assert noted == {**own, "prometheus.io/scheme": "https"}


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_a_monitor_speaks_tls_where_the_operator_does(kind: str) -> None:
    key = f"{kind[0].lower()}{kind[1:]}"
    values = {
        "crds": {"install": False},
        "metrics": {"tlsSecret": "metrics-tls"},
        key: {"enabled": True, "interval": "5s"},
    }
    assert read_endpoint(render(values), kind) == {
        "port": "metrics",
        "path": "/metrics",
        "interval": "5s",
        "scheme": "https",
        "tlsConfig": {
            "serverName": f"{RELEASE}-operator.{NAMESPACE}.svc",
            "ca": {"secret": {"name": "metrics-tls", "key": "ca.crt"}},
        },
    }


def test_a_monitor_shows_a_certificate_where_the_operator_asks_for_one() -> None:
    secure = read_endpoint(render(MONITORED), "ServiceMonitor")["tlsConfig"]
    assert secure["cert"] == {"secret": {"name": "prometheus-tls", "key": "tls.crt"}}
    assert secure["keySecret"] == {"name": "prometheus-tls", "key": "tls.key"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (SERVICE_MONITOR | POD_MONITOR, "would have the operator read twice"),
        (SERVICE_MONITOR | {"metrics": {"enabled": False}}, "metrics.enabled must be set"),
        (RULE | {"metrics": {"enabled": False}}, "metrics.enabled must be set"),
        (
            POD_MONITOR | {"metrics": {"tlsSecret": "a", "clientCertificates": True}},
            "metrics.clientSecret must be set",
        ),
        ({"metrics": {"clientCertificates": True}}, "metrics.tlsSecret must be set"),
        (
            {"metrics": {"enabled": False, "tlsSecret": "a"}},
            "metrics.enabled must be set where metrics.tlsSecret is",
        ),
        (
            {"metrics": {"enabled": False, "clientCertificates": True}},
            "metrics.enabled must be set where metrics.clientCertificates is",
        ),
        (
            POD_MONITOR | {"metrics": {"serverName": "a"}},
            "metrics.tlsSecret must be set where metrics.serverName is",
        ),
        (
            POD_MONITOR | {"metrics": {"clientSecret": "a"}},
            "metrics.tlsSecret must be set where metrics.clientSecret is",
        ),
        (
            {"metrics": {"tlsSecret": "a", "serverName": "a"}},
            "podMonitor.enabled must be set where metrics.serverName is",
        ),
        (
            {"metrics": {"tlsSecret": "a", "clientSecret": "a"}},
            "podMonitor.enabled must be set where metrics.clientSecret is",
        ),
    ],
)
def test_f78_values_that_do_not_go_together_are_refused(values: Values, words: str) -> None:
    with pytest.raises(HelmError, match=words):
        render(values)


def test_the_rules_are_those_of_the_files_with_an_address_before_their_pages() -> None:
    spec = find_manifest(render(MONITORED), "PrometheusRule")["spec"]
    files: list[Any] = [YAML(typ="safe").load(path) for path in RULES]
    text = json.dumps([group for file in files for group in file["groups"]])
    pages = "https://documents.example/trimtab/docs/"
    expected = text.replace('"runbook": "docs/', f'"runbook_url": "{pages}')
    assert expected.count(pages) == len(list_alerts())
    assert forget_namespace(spec) == {"groups": json.loads(expected)}


def test_an_alert_names_its_page_without_a_link_where_no_address_is_given() -> None:
    """A path in the place of an address leads nowhere."""
    spec = find_manifest(render(RULE), "PrometheusRule")["spec"]
    rules = [rule for group in forget_namespace(spec)["groups"] for rule in group["rules"]]
    assert rules == list_alerts()
    assert all("runbook_url" not in rule["annotations"] for rule in rules)


def test_an_operator_that_is_down_is_missed_beside_one_of_another_namespace(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    groups = [
        {**group, "name": f"{namespace} {group['name']}"}
        for namespace in ("vision", "speech")
        for group in find_manifest(render(RULE, namespace), "PrometheusRule")["spec"]["groups"]
    ]
    rules.write_text(json.dumps({"groups": groups}), encoding="utf-8")
    series = 'trimtab_build_info{version="0.1.0",namespace="speech"}'
    down = {"severity": "critical", "namespace": "vision"}
    (notes,) = [
        alert["annotations"] for alert in list_alerts() if alert["alert"] == "TrimtabOperatorDown"
    ]
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": "1x20"}],
        "alert_rule_test": [
            {
                "eval_time": "10m",
                "alertname": "TrimtabOperatorDown",
                "exp_alerts": [{"exp_labels": down, "exp_annotations": notes}],
            }
        ],
    }
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps({"rule_files": [str(rules)], "tests": [case]}), encoding="utf-8")
    run_promtool("test", "rules", path)


def test_each_dashboard_is_there_word_for_word_where_grafana_looks_for_it() -> None:
    maps = [one for one in render(MONITORED) if one["kind"] == "ConfigMap"]
    assert len(maps) == len(BOARDS)
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
    shown = {name: text for one in maps for name, text in one["data"].items()}
    assert {name: text.strip() for name, text in shown.items()} == {
        f"{RELEASE}-{path.name}": path.read_text(encoding="utf-8").strip() for path in BOARDS
    }


@pytest.mark.parametrize("value", ["podMonitor", "serviceMonitor", "prometheusRule", "dashboards"])
@pytest.mark.parametrize("label", ["app.kubernetes.io/name", "helm.sh/chart"])
def test_f78_a_label_that_the_chart_sets_itself_is_refused(value: str, label: str) -> None:
    """By it objects are found, and Helm knows them."""
    with pytest.raises(HelmError, match=rf"{value}\.labels has {label}, which the chart sets"):
        render({value: {"enabled": True, "labels": {label: "other"}}})


def test_labels_of_ones_own_are_on_what_prometheus_and_grafana_select() -> None:
    labels = {"release": "prometheus"}
    values = {
        "crds": {"install": False},
        "podMonitor": {"enabled": True, "labels": labels},
        "prometheusRule": {"enabled": True, "labels": labels},
        "dashboards": {"enabled": True, "labels": labels},
    }
    found = {
        one["kind"]
        for one in render(values)
        if labels.items() <= one["metadata"].get("labels", {}).items()
    }
    assert found == {"PodMonitor", "PrometheusRule", "ConfigMap"}
