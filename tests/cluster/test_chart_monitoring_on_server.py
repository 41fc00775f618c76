"""Monitors and rules of the chart on a real API server that has Prometheus Operator's definitions."""

from collections.abc import Iterator
from copy import deepcopy

import pytest

from cluster.access import Cluster
from cluster.api import ApiRefusedError
from cluster.definitions import apply_definitions, monitoring_definitions, remove_definitions
from cluster.fixtures import NamespaceMaker
from helm_chart import MONITORED, Values, find_manifest, render

pytestmark = [pytest.mark.cluster_a, pytest.mark.helm]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
PLAIN: Values = {
    "crds": {"install": False},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
}


@pytest.fixture(scope="module")
def monitored_server(api_server: Cluster) -> Iterator[Cluster]:
    """The cluster with the definitions, for the tests of this file only."""
    apply_definitions(api_server.api, monitoring_definitions())
    yield api_server
    remove_definitions(api_server.api, monitoring_definitions())


@pytest.mark.parametrize("values", [MONITORED, PLAIN], ids=["service, TLS", "pod, plain"])
def test_f76_the_api_server_takes_what_is_made_for_prometheus_operator_and_grafana(
    monitored_server: Cluster, make_namespace: NamespaceMaker, values: Values
) -> None:
    namespace = make_namespace(monitored_server, RESTRICTED)
    wanted = {"Service", "ConfigMap", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
    manifests = [one for one in render(values, namespace) if one["kind"] in wanted]
    assert len(manifests) == (7 if values is MONITORED else 2)
    for manifest in manifests:
        monitored_server.api.create(manifest, dry_run=True)


def test_the_definitions_refuse_what_a_monitor_does_not_have(
    monitored_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    """Without this the test above could not fail."""
    namespace = make_namespace(monitored_server)
    manifest = deepcopy(find_manifest(render(MONITORED, namespace), "ServiceMonitor"))
    manifest["spec"]["endpoints"][0]["tlsConfig"]["caSecret"] = {}
    with pytest.raises(ApiRefusedError, match="caSecret"):
        monitored_server.api.create(manifest, dry_run=True)
