"""Nothing hangs when the operator goes before its jobs, in the order of the manual and in others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.definitions import apply_definitions, own_definitions
from cluster.fixtures import NamespaceMaker
from cluster.job_phases import MEASURING, RUNNING, STARTING, JobsByPhase
from cluster.leftovers import list_leftovers
from cluster.processes import wait_until
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay
from operator_process import PATIENT, OperatorProcess, running_operator

pytestmark = pytest.mark.cluster_k

SECONDS = 60.0
DEPLOY = Path(__file__).parents[2] / "deploy"
DEFINITION = "optimizationjobs.trimtab.dev"


@pytest.fixture
def operator(kuberay_server: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator of one test; what the test uninstalls is there again afterwards."""
    with running_operator(kuberay_server, tmp_path, PATIENT) as operator:
        yield operator
    apply_definitions(kuberay_server.api, own_definitions())


@pytest.fixture
def jobs(
    kuberay_server: Cluster,
    operator: OperatorProcess,
    simulated_nodes: SimulatedNodes,
    simulated_ray: SimulatedRay,
    make_namespace: NamespaceMaker,
) -> Iterator[JobsByPhase]:
    namespace = make_namespace(kuberay_server)
    yield JobsByPhase(kuberay_server, namespace, simulated_nodes, simulated_ray)
    # Before the definition goes, so that the namespace can be cleared.
    apply_definitions(kuberay_server.api, own_definitions())


def wait_for_nothing(jobs: JobsByPhase) -> None:
    def is_clear() -> bool:
        return list_leftovers(jobs.cluster, jobs.namespace) == []

    assert wait_until(is_clear, SECONDS), list_leftovers(jobs.cluster, jobs.namespace)


def is_absent(jobs: JobsByPhase, kind: str, name: str) -> bool:
    return jobs.cluster.api.find(kind, name) is None


def test_f20_the_definition_goes_with_all_jobs_and_the_operator_waits_for_it(
    jobs: JobsByPhase, operator: OperatorProcess
) -> None:
    jobs.make((STARTING, RUNNING, MEASURING))
    jobs.cluster.api.delete("CustomResourceDefinition", DEFINITION)
    assert wait_until(lambda: is_absent(jobs, "CustomResourceDefinition", DEFINITION), SECONDS)
    wait_for_nothing(jobs)
    apply_definitions(jobs.cluster.api, own_definitions())
    jobs.make((RUNNING,))
    assert operator.stop() == 0


def test_f20_all_that_was_installed_goes_before_its_jobs(
    jobs: JobsByPhase, operator: OperatorProcess
) -> None:
    jobs.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEPLOY))
    jobs.make((STARTING, RUNNING, MEASURING))
    operator.kill()
    jobs.cluster.kubectl("delete", "-f", str(DEPLOY), "--timeout=60s")
    wait_for_nothing(jobs)
    assert is_absent(jobs, "Namespace", "trimtab-system")
    assert is_absent(jobs, "CustomResourceDefinition", DEFINITION)


def test_f20_jobs_can_be_deleted_after_their_operator_is_gone(
    jobs: JobsByPhase, operator: OperatorProcess
) -> None:
    made = jobs.make((STARTING, RUNNING, MEASURING))
    operator.kill()
    for name in made:
        jobs.cluster.kubectl("-n", jobs.namespace, "delete", f"{DEFINITION}/{name}")
    wait_for_nothing(jobs)
