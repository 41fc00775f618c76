"""The clusters of the tests, and an operator for the tests of a file."""

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
    operator_image,
    ray_api_server,
    simulated_nodes,
    simulated_ray,
    trainer_image,
)
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
    "operator_image",
    "ray_api_server",
    "simulated_nodes",
    "simulated_ray",
    "trainer_image",
]


@pytest.fixture(scope="module")
def operator(
    ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator at tier A for the tests of a file; none of them may make it fail in words."""
    with running_operator(ray_api_server, tmp_path_factory.mktemp("operator")) as operator:
        yield operator
    assert "Traceback" not in operator.read_log()
