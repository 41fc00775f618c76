"""An operator of single namespaces, with the rights of the chart: it runs their jobs and no others."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from helm_chart import RELEASE, read_environment, render
from operator_process import OperatorProcess

pytestmark = [pytest.mark.cluster_a, pytest.mark.helm, pytest.mark.slow]

# Longer than a watch may be silent here.
SECONDS = 8.0
ACCOUNT = f"{RELEASE}-operator"


@dataclass(frozen=True, slots=True)
class Place:
    """An operator and the namespaces that it watches."""

    cluster: Cluster
    namespaces: tuple[str, ...]
    operator: OperatorProcess
    role: str


@pytest.fixture
def place(
    ray_api_server: Cluster, make_namespace: NamespaceMaker, tmp_path: Path
) -> Iterator[Place]:
    home, *watched = [make_namespace(ray_api_server) for _ in range(3)]
    manifests = render({"watchNamespaces": watched, "crds": {"install": False}}, home)
    for manifest in manifests:
        if manifest["kind"] != "Deployment":
            ray_api_server.api.apply(manifest)
    settings = read_environment(manifests)
    del settings["TRIMTAB_OPERATOR_HEALTH_PORT"]
    operator = OperatorProcess(
        ray_api_server.account_kubeconfig(home, ACCOUNT),
        tmp_path / "operator.log",
        settings=settings,
    )
    operator.start()
    yield Place(ray_api_server, tuple(watched), operator, f"{ACCOUNT}-{home}")
    operator.kill()


def create_job(place: Place, namespace: str, name: str = "digits") -> WatchedJob:
    return WatchedJob.create(place.cluster, make_job(namespace, name))


def remove_namespace(place: Place, name: str) -> None:
    """Take a namespace away with all that matters in it.

    Its Role goes last, where the controller of namespaces takes it before the namespace is gone.
    """
    api = place.cluster.api
    api.delete_all("OptimizationJob", name)
    api.delete("Namespace", name)
    namespace = api.get("Namespace", name)
    api.replace({**namespace, "spec": {"finalizers": []}}, "/finalize")
    # Last, so that no watch is refused before the operator can know why.
    api.delete("Role", place.role, name)


def says(place: Place, *words: str) -> bool:
    """Return whether the operator says one of the words within several resyncs."""
    log = place.operator.read_log
    return wait_until(lambda: any(word in log().lower() for word in words), SECONDS)


def test_jobs_of_the_watched_namespaces_run_and_those_of_others_are_left_alone(
    place: Place, make_namespace: NamespaceMaker
) -> None:
    foreign = create_job(place, make_namespace(place.cluster))
    jobs = [create_job(place, namespace) for namespace in place.namespaces]
    for job in jobs:
        job.wait_for_attempt(1)
        job.play_start()
        job.report()
        job.wait_for("ClusterReady", "True/WorkersReady")
    assert foreign.status() == {}
    assert foreign.children() == {}
    assert not says(place, "forbidden", "permission", "traceback"), place.operator.read_log()


def test_a_change_that_no_watch_told_is_found_in_a_watched_namespace(place: Place) -> None:
    """What is repaired after a deletion needs lists and reads in each namespace."""
    job = create_job(place, place.namespaces[1])
    job.wait_for_attempt(1)
    place.cluster.api.delete("Role", "digits-progress", job.namespace)
    job.wait(lambda: ("Role", "digits-progress") in job.children())


def test_a_namespace_that_goes_does_not_disturb_the_others(place: Place) -> None:
    first, second = place.namespaces
    create_job(place, second).wait_for_attempt(1)
    remove_namespace(place, second)
    create_job(place, first).wait_for_attempt(1)
    # A watch there would be refused when it is opened anew, and tried again until it ends them all.
    assert not says(place, "will retry", "traceback"), place.operator.read_log()
    assert place.operator.is_healthy()
