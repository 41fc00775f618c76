"""The proxy does the harm it is told to, at the request it is told, and nothing else."""

import contextlib
import http.client
from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.api import Api, ApiRefusedError, Manifest
from cluster.chaosproxy import ChaosProxy
from cluster.faults import Answer, Fault, Loss, drop, has_path, is_write, repeat
from cluster.fixtures import NamespaceMaker

pytestmark = pytest.mark.cluster_a


@pytest.fixture
def proxy(api_server: Cluster) -> Iterator[ChaosProxy]:
    """A proxy before the API server."""
    with ChaosProxy(api_server) as running:
        yield running


@pytest.fixture
def api(proxy: ChaosProxy) -> Api:
    """A client that goes through the proxy."""
    return Api(proxy.url, proxy.cluster.api.token)


@pytest.fixture
def namespace(api_server: Cluster, make_namespace: NamespaceMaker) -> str:
    """An empty namespace."""
    return make_namespace(api_server)


def make_map(name: str, namespace: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def read_names(api: Api, namespace: str) -> list[str]:
    events = api.watch("ConfigMap", namespace, seconds=1)
    return [event["object"]["metadata"]["name"] for event in events]


def test_what_has_no_fault_passes_and_is_counted(
    proxy: ChaosProxy, api: Api, namespace: str
) -> None:
    api.create(make_map("one", namespace))
    api.get("ConfigMap", "one", namespace)
    api.patch("ConfigMap", "one", {"data": {"key": "value"}}, namespace)
    api.create(make_map("two", namespace), dry_run=True)
    assert proxy.count_writes() == 2
    assert read_names(api, namespace) == ["one"]


@pytest.mark.parametrize("code", [401, 403, 409, 410, 422, 429, 500, 503])
def test_an_answer_is_given_once_in_place_of_the_servers(
    proxy: ChaosProxy, api: Api, namespace: str, code: int
) -> None:
    proxy.add(Fault(is_write, Answer(code, "Told", {"Retry-After": "1"})))
    with pytest.raises(ApiRefusedError) as caught:
        api.create(make_map("one", namespace))
    assert caught.value.code == code
    api.create(make_map("one", namespace))


def test_a_lost_request_never_reaches_the_server(
    proxy: ChaosProxy, api: Api, namespace: str
) -> None:
    called: list[int] = []
    proxy.before_write(2, lambda: called.append(proxy.count_writes()))
    api.create(make_map("one", namespace))
    with pytest.raises(http.client.HTTPException):
        api.create(make_map("two", namespace))
    assert called == [2]
    assert api.find("ConfigMap", "two", namespace) is None


def test_a_lost_answer_is_of_a_write_that_happened(
    proxy: ChaosProxy, api: Api, namespace: str
) -> None:
    proxy.after_write(1, lambda: None)
    with pytest.raises(http.client.HTTPException):
        api.create(make_map("one", namespace))
    assert api.find("ConfigMap", "one", namespace) is not None


def test_silence_lasts_until_the_client_gives_up(
    proxy: ChaosProxy, api: Api, namespace: str
) -> None:
    proxy.add(Fault(has_path("/configmaps", "GET"), Loss.SILENCE))
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=0.2)
    connection.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert api.list("ConfigMap", namespace) == []


def test_events_are_dropped_and_repeated(proxy: ChaosProxy, api: Api, namespace: str) -> None:
    api.create(make_map("one", namespace))
    proxy.change_events("/configmaps", repeat)
    assert read_names(api, namespace) == ["one", "one"]
    proxy.change_events("/configmaps", drop)
    assert read_names(api, namespace) == []
    proxy.heal()
    assert read_names(api, namespace) == ["one"]


def test_watches_are_cut(proxy: ChaosProxy, api: Api, namespace: str) -> None:
    api.create(make_map("one", namespace))
    events = api.watch("ConfigMap", namespace, seconds=60)
    assert next(events)["type"] == "ADDED"
    proxy.cut_watches()
    with contextlib.suppress(ConnectionError):
        assert next(events, None) is None
