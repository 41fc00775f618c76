"""The operator beside the real KubeRay: killed, or without an API server, while a Ray cluster runs."""

import os
from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.crash_points import Sample, draw_samples, run_sample
from cluster.fixtures import NamespaceMaker
from cluster.operator_stage import Stage
from cluster.played_ray import PlayedRay
from cluster.simulated_ray import SimulatedRay
from cluster.watched_job import make_job
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_k, pytest.mark.usefixtures("simulated_nodes")]

SEED = int(os.environ.get("TRIMTAB_CAMPAIGN_SEED", "20261124"))
SAMPLE = 4
# The third script holds a cluster back, which KubeRay does not do.
SCRIPTS = ("create and finish", "suspend and resume", "delete")
SECONDS = 60.0


@pytest.fixture(scope="module")
def stage(
    kuberay_server: Cluster,
    simulated_ray: SimulatedRay,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """One operator for all cases: each leaves it alive again."""
    folder = tmp_path_factory.mktemp("faults")
    with ChaosProxy(kuberay_server) as proxy, operator_behind(proxy, folder) as operator:
        yield Stage(kuberay_server, proxy, operator, simulated_ray)


@pytest.mark.parametrize("sample", list(draw_samples(SEED, SAMPLE, SCRIPTS)), ids=str)
def test_f01_a_killed_operator_goes_on_where_it_was(
    stage: Stage, make_namespace: NamespaceMaker, sample: Sample
) -> None:
    assert run_sample(stage, sample, lambda: make_namespace(stage.cluster)).faults == ()


def has_driver(ray: PlayedRay) -> bool:
    """Return whether KubeRay has made all that it makes: the last is the submitter of the driver."""
    pods = ray.cluster.api.list("Pod", ray.namespace)
    submitters = [pod for pod in pods if "ray.io/node-type" not in pod["metadata"]["labels"]]
    rayjob = ray.cluster.api.get("RayJob", "digits-a1", ray.namespace)
    return bool(submitters) and rayjob["status"].get("jobStatus") == "RUNNING"


def read_cluster(ray: PlayedRay) -> dict[str, str]:
    """Return the uids of what makes a Ray cluster, by kind and name."""
    return {
        f"{kind}/{found['metadata']['name']}": found["metadata"]["uid"]
        for kind in ("RayJob", "RayCluster", "Pod")
        for found in ray.cluster.api.list(kind, ray.namespace)
    }


def test_f05_an_api_server_that_is_away_leaves_a_ray_cluster_alone(
    stage: Stage, make_namespace: NamespaceMaker
) -> None:
    api, pid = stage.cluster.api, stage.operator.pid
    ray, late = (stage.play(make_namespace(stage.cluster)) for _ in range(2))
    api.create(make_job(ray.namespace))
    assert ray.wait(lambda: ray.read_status().get("state") == "Running", SECONDS)
    assert ray.wait(lambda: has_driver(ray), SECONDS)
    before = read_cluster(ray)
    generation = api.get("RayJob", "digits-a1", ray.namespace)["metadata"]["generation"]
    asked = len(stage.proxy.requests)
    stage.start_outage()
    api.create(make_job(late.namespace))
    ray.trials = 3
    assert ray.wait(lambda: len(stage.proxy.requests) > asked + 20, SECONDS)
    assert late.read_children() == {}
    assert ray.read_status()["trials"].get("succeeded", 0) == 0
    stage.proxy.heal()
    assert ray.wait(lambda: ray.read_status()["trials"].get("succeeded") == 3, SECONDS)
    assert late.wait(lambda: late.read_status().get("attempt") == 1, SECONDS)
    assert read_cluster(ray) == before
    after = api.get("RayJob", "digits-a1", ray.namespace)["metadata"]
    assert after["generation"] == generation
    ray.succeeds = True
    assert ray.wait(lambda: ray.says("Complete") == "True/Finished", SECONDS)
    assert ray.read_status()["attempt"] == 1
    assert stage.operator.pid == pid
    assert stage.operator.is_healthy()
