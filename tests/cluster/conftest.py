"""The clusters of the tests; what a marked test needs is built before the first one runs."""

from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.fixtures import (
    api_plane,
    api_server,
    kuberay_plane,
    kuberay_server,
    lasting_nodes,
    make_namespace,
    node_operator,
    node_server,
    ray_api_server,
    simulated_nodes,
    simulated_ray,
    trainer_image,
)
from cluster.programs import is_built, program
from operator_process import OperatorProcess, running_operator

__all__ = [
    "api_plane",
    "api_server",
    "kuberay_plane",
    "kuberay_server",
    "lasting_nodes",
    "make_namespace",
    "node_operator",
    "node_server",
    "operator",
    "pytest_collection_finish",
    "ray_api_server",
    "simulated_nodes",
    "simulated_ray",
    "trainer_image",
]

_SERVERS = ("etcd", "kube-apiserver", "kubectl")
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kuberay")
_NODE = ("kubelet", "kube-proxy", "coredns", "pause")
NEEDED = {
    "cluster_a": _SERVERS,
    "cluster_k": (*_SERVERS, *_CONTROLLERS),
    "cluster_n": (*_SERVERS, *_CONTROLLERS, *_NODE),
}


@pytest.fixture(scope="module")
def operator(
    ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator at tier A for the tests of a file; none of them may make it fail in words."""
    with running_operator(ray_api_server, tmp_path_factory.mktemp("operator")) as operator:
        yield operator
    assert "Traceback" not in operator.read_log()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the missing programs here, where no test's time limit counts."""
    markers = {mark.name for item in session.items for mark in item.iter_markers()}
    needed = {name for marker in NEEDED if marker in markers for name in NEEDED[marker]}
    missing = [name for name in sorted(needed) if not is_built(name)]
    if missing and not session.config.option.collectonly:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for name in missing:
            if reporter is not None:
                reporter.write_line(f"building {name}, once: minutes")
            program(name)
