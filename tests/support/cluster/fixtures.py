"""The clusters as fixtures, one per tier and session; `tests/cluster/conftest.py` offers them.

Each tier has servers of its own, so that what one tier installs is not seen by another.
"""

import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Protocol

import pytest

from cluster.access import Cluster
from cluster.audit_log import audit_flags
from cluster.control_plane import ControlPlane, Network, start_controllers, start_servers
from cluster.definitions import apply_definitions, kuberay_definitions, own_definitions
from cluster.existing import (
    IMAGE_VARIABLE,
    OPERATOR_VARIABLE,
    given_kubeconfig,
    use_existing,
)
from cluster.images import KUBERAY_IMAGE, OPERATOR_IMAGE, TRAINER_IMAGE
from cluster.installation import install_operator, is_installed
from cluster.kinds import CHILD_KINDS
from cluster.kuberay import install_kuberay, start_kuberay
from cluster.node import start_node
from cluster.processes import Processes
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay

__all__ = [
    "NamespaceMaker",
    "api_plane",
    "api_server",
    "kuberay_plane",
    "kuberay_server",
    "lasting_nodes",
    "make_namespace",
    "node_operator",
    "node_server",
    "operator_image",
    "ray_api_server",
    "simulated_nodes",
    "simulated_ray",
    "trainer_image",
]

# A simulated kubelet sends no heartbeats, and a test should not wait for pods of a lost node.
_SIMULATED_SERVERS = (
    "--default-not-ready-toleration-seconds=1",
    "--default-unreachable-toleration-seconds=1",
)
_SIMULATED_CONTROLLERS = ("--node-monitor-grace-period=24h", "--node-startup-grace-period=24h")

_numbers = itertools.count(1)


class NamespaceMaker(Protocol):
    """Makes a namespace of a cluster and returns its name."""

    def __call__(self, cluster: Cluster, labels: Mapping[str, str] | None = None) -> str: ...


@pytest.fixture(scope="session")
def api_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Servers with our definition, and nothing that acts on objects: tier A."""
    with Processes(tmp_path_factory.mktemp("tier-a")) as processes:
        plane = start_servers(processes, Network())
        apply_definitions(plane.cluster.api, own_definitions())
        yield plane


@pytest.fixture(scope="session")
def api_server(api_plane: ControlPlane) -> Cluster:
    """The cluster of tier A, as tests use it."""
    return api_plane.cluster


@pytest.fixture(scope="session")
def ray_api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of tier A that takes RayJobs, whose KubeRay the tests play; it keeps an audit log."""
    with Processes(tmp_path_factory.mktemp("tier-a-ray")) as processes:
        plane = start_servers(processes, Network(), audit_flags(processes.folder))
        apply_definitions(plane.cluster.api, own_definitions())
        # The others would cost most of the start, and nothing here reads them.
        rayjobs = [path for path in kuberay_definitions() if path.stem == "ray.io_rayjobs"]
        apply_definitions(plane.cluster.api, rayjobs)
        yield plane.cluster


@pytest.fixture(scope="session")
def simulated_ray() -> Iterator[SimulatedRay]:
    """The Ray heads of tier K, as KubeRay sees them."""
    with SimulatedRay() as ray:
        yield ray


@pytest.fixture(scope="session")
def kuberay_plane(
    tmp_path_factory: pytest.TempPathFactory, simulated_ray: SimulatedRay
) -> Iterator[ControlPlane]:
    """Servers, controllers, scheduler and KubeRay, with our definition: tier K."""
    with Processes(tmp_path_factory.mktemp("tier-k")) as processes:
        plane = start_servers(processes, Network(), _SIMULATED_SERVERS)
        apply_definitions(plane.cluster.api, own_definitions())
        start_controllers(plane, _SIMULATED_CONTROLLERS)
        start_kuberay(plane, simulated_ray.url)
        yield plane


@pytest.fixture(scope="session")
def kuberay_server(kuberay_plane: ControlPlane) -> Cluster:
    """The cluster of tier K, as tests use it."""
    return kuberay_plane.cluster


@pytest.fixture(scope="session")
def lasting_nodes(kuberay_server: Cluster) -> Iterator[SimulatedNodes]:
    """A node without and one with four GPUs, on which pods of tier K run in appearance."""
    with SimulatedNodes(kuberay_server.api) as nodes:
        nodes.add("cpu-1")
        nodes.add("gpu-1", gpus=4)
        yield nodes


@pytest.fixture
def simulated_nodes(lasting_nodes: SimulatedNodes) -> Iterator[SimulatedNodes]:
    """The same nodes, which are again as they were after the test."""
    with lasting_nodes.lent() as nodes:
        yield nodes


@pytest.fixture(scope="session")
def node_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with KubeRay that runs pods: the one of `KUBECONFIG`, or a node here; tier N."""
    session = tmp_path_factory.mktemp("tier-n")
    given = given_kubeconfig()
    if given is not None:
        with use_existing(given, session) as cluster:
            yield cluster
        return
    with start_node(session) as plane:
        install_kuberay(plane.cluster, KUBERAY_IMAGE)
        yield plane.cluster


@pytest.fixture(scope="session")
def trainer_image() -> str:
    """The image that pods of tier N run."""
    return os.environ.get(IMAGE_VARIABLE, TRAINER_IMAGE)


@pytest.fixture(scope="session")
def operator_image() -> str:
    """The image of the operator at tier N."""
    return os.environ.get(OPERATOR_VARIABLE, OPERATOR_IMAGE)


@pytest.fixture(scope="module")
def node_operator(node_server: Cluster, operator_image: str, trainer_image: str) -> Cluster:
    """The cluster of tier N with the operator in it; a file that takes it away has its own tests."""
    if not is_installed(node_server):
        install_operator(node_server, image=operator_image, trainer_image=trainer_image)
    return node_server


@pytest.fixture
def make_namespace() -> Iterator[NamespaceMaker]:
    """Make namespaces with names of their own; after the test nothing acts in them any more."""
    made: list[tuple[Cluster, str]] = []

    def make(cluster: Cluster, labels: Mapping[str, str] | None = None) -> str:
        name = f"test-{next(_numbers)}"
        metadata = {"name": name, "labels": dict(labels or {})}
        cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made.append((cluster, name))
        return name

    yield make
    for cluster, name in made:
        # Without controllers a namespace stays, and an operator would still see what is in it.
        for kind in ("OptimizationJob", *CHILD_KINDS):
            cluster.api.delete_all(kind, name)
        found = cluster.api.find("Namespace", name)
        if found is not None and "deletionTimestamp" not in found["metadata"]:
            cluster.api.delete("Namespace", name)
