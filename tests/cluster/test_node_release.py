"""The life of a release on a real node, from its installation to its last trace, while a job runs."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.audit_log import audit_log, list_calls_of
from cluster.claims import make_claim
from cluster.fixtures import NamespaceMaker
from cluster.installation import image_values, remove_operator
from cluster.leftovers import is_furnished, list_leftovers, list_objects
from cluster.node_jobs import RESOURCE, NodeJob, make_slow_job
from cluster.processes import wait_until
from helm_chart import CHART, NAMESPACE, RELEASE, run_helm

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(900)]

SECONDS = 180.0
OPERATOR = f"{RELEASE}-operator"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{OPERATOR}"
LABELS = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
DEFINITION = ("CustomResourceDefinition", f"/{RESOURCE}")
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Release:
    """What Helm does, in a namespace that Pod Security holds to `restricted`."""

    cluster: Cluster
    images: tuple[str, ...]

    def helm(self, command: str, *arguments: str) -> str:
        """Run a command of Helm about the release, and wait for what it does."""
        place = ("--namespace", NAMESPACE, "--timeout=120s")
        return run_helm(command, RELEASE, *arguments, *place, cluster=self.cluster)

    def install(self, *values: str) -> None:
        self.helm("install", str(CHART), *self.images, "--wait", *values)

    def find_pod(self) -> Manifest:
        """Return the operator's pod, the only one that stays."""
        pods = self.cluster.api.list("Pod", NAMESPACE, LABELS)
        (pod,) = [one for one in pods if "deletionTimestamp" not in one["metadata"]]
        return pod

    def read_settings(self) -> tuple[str | None, str]:
        """Return the level of the log and the memory that the operator's pod has."""
        (container,) = self.find_pod()["spec"]["containers"]
        level = [one["value"] for one in container["env"] if one["name"].endswith("LOG_LEVEL")]
        return (level or [None])[0], container["resources"]["requests"]["memory"]


@pytest.fixture
def release(node_server: Cluster, operator_image: str, trainer_image: str) -> Iterator[Release]:
    """Helm, on a node where neither release nor definition are; the next file installs its own."""
    remove_operator(node_server)
    if node_server.api.find("CustomResourceDefinition", RESOURCE) is not None:
        node_server.api.delete("CustomResourceDefinition", RESOURCE)
    assert wait_until(lambda: is_gone(node_server), SECONDS)
    node_server.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
    )
    images = [
        f"{part}.{key}={value}"
        for part, keys in image_values(operator_image, trainer_image).items()
        for key, value in keys.items()
    ]
    yield Release(node_server, ("--set", ",".join(images)))
    remove_operator(node_server)


def is_gone(cluster: Cluster) -> bool:
    return cluster.api.find("CustomResourceDefinition", RESOURCE) is None


def read_running(job: NodeJob) -> dict[str, str]:
    """Return the uids of what runs for a job."""
    return {
        f"{kind} {one['metadata']['name']}": one["metadata"]["uid"]
        for kind in ("RayJob", "RayCluster", "Pod")
        for one in job.cluster.api.list(kind, job.namespace)
    }


def wait_for_trials(job: NodeJob, number: int) -> None:
    """Wait until the status, which the operator of now writes, has so many more trials."""
    job.wait(lambda: job.status()["trials"]["succeeded"] >= number, f"{number} trials")


def test_f20_f22_a_release_lives_beside_a_job_and_leaves_only_its_definition(
    release: Release, make_namespace: NamespaceMaker
) -> None:
    cluster = release.cluster
    namespace = make_namespace(cluster)
    make_claim(cluster, namespace, "runs")
    log = audit_log(cluster.folder)
    seen = log.stat().st_size if log.exists() else 0
    assert wait_until(lambda: all(is_furnished(cluster, one) for one in (namespace, NAMESPACE)), 60)
    before = list_objects(cluster)
    release.install()
    assert "Phase:          Succeeded" in release.helm("test")
    manifest = make_slow_job("slow")
    # It outlives all that is done here, and is deleted while it runs.
    manifest["spec"]["stages"]["search"]["numTrials"] = 60
    job = NodeJob.apply(cluster, namespace, manifest)
    job.wait(lambda: job.is_training(0, epoch=1), "training of trial 0")
    running, first = read_running(job), release.find_pod()
    changes = "logLevel=DEBUG,resources.requests.memory=200Mi"
    release.helm("upgrade", str(CHART), *release.images, "--wait", "--set", changes)
    second = release.find_pod()
    assert release.read_settings() == ("DEBUG", "200Mi")
    wait_for_trials(job, 1)
    release.helm("rollback", "1", "--wait")
    assert release.read_settings() == (None, "160Mi")
    third = release.find_pod()
    assert len({pod["metadata"]["uid"] for pod in (first, second, third)}) == 3
    wait_for_trials(job, 2)
    assert read_running(job) == running
    assert job.status()["attempt"] == 1
    assert "ChildRestored" not in job.events()
    assert list_refused(cluster, seen) == []
    # In the order of the manual.
    job.kubectl("delete", RESOURCE, "--all", f"--timeout={SECONDS:.0f}s")
    assert wait_until(lambda: list_leftovers(cluster, namespace) == [], SECONDS), list_leftovers(
        cluster, namespace
    )
    release.helm("uninstall", "--wait")
    assert wait_until(lambda: list_objects(cluster) - before == {DEFINITION}, SECONDS), (
        list_objects(cluster) - before
    )
    # It is the next release's, and goes with that one where it is not to be kept.
    release.install("--set", "crds.keep=false")
    release.helm("uninstall", "--wait")
    assert wait_until(lambda: list_objects(cluster) <= before, SECONDS)


def list_refused(cluster: Cluster, seen: int) -> list[tuple[str, str]]:
    """Return verb and resource of what the operator was refused; only our node keeps such a log."""
    if not audit_log(cluster.folder).exists():
        return []
    calls = list_calls_of(ACCOUNT, cluster.folder, seen)
    assert calls
    return [(call.verb, call.resource) for call in calls if call.code == FORBIDDEN]
