"""The operator uses each right that the chart gives it, and asks for no other: an audit log shows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.audit_log import Call, audit_log, list_calls_of
from cluster.chaosproxy import ChaosProxy
from cluster.claims import make_claim
from cluster.faults import drop
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.rights import Right, list_rights, list_used
from cluster.watched_job import WatchedJob, make_job
from helm_chart import RELEASE, Values, read_environment, render
from operator_process import OperatorProcess, read_token
from trimtab_api.labels import LABEL_JOB_UID

pytestmark = [pytest.mark.cluster_a, pytest.mark.helm, pytest.mark.slow]

SECONDS = 40.0
ACCOUNT = f"{RELEASE}-operator"
NO_DEFINITION: Values = {"crds": {"install": False}}
TARGETS = [{"name": "pi", "nodeSelector": {"board": "pi"}}]
FORBIDDEN = 403


@dataclass(slots=True)
class Place:
    """An operator with the rights of the chart, and what is seen of it."""

    cluster: Cluster
    proxy: ChaosProxy
    operator: OperatorProcess
    manifests: list[Manifest]
    namespace: str
    user: str
    start: int

    def read_calls(self) -> list[Call]:
        """Return what the operator asked for since it was installed."""
        return list_calls_of(self.user, self.cluster.folder, self.start)


@pytest.fixture(params=["everywhere", "in single namespaces"])
def place(
    request: pytest.FixtureRequest,
    ray_api_server: Cluster,
    make_namespace: NamespaceMaker,
    tmp_path: Path,
) -> Iterator[Place]:
    home, namespace, other = [make_namespace(ray_api_server) for _ in range(3)]
    is_everywhere = request.param == "everywhere"
    values = (
        NO_DEFINITION if is_everywhere else {**NO_DEFINITION, "watchNamespaces": [namespace, other]}
    )
    manifests = render(values, home)
    start = audit_log(ray_api_server.folder).stat().st_size
    for manifest in manifests:
        if manifest["kind"] != "Deployment":
            ray_api_server.api.apply(manifest)
    settings = read_environment(manifests)
    del settings["TRIMTAB_OPERATOR_HEALTH_PORT"], settings["TRIMTAB_OPERATOR_METRICS_PORT"]
    with ChaosProxy(ray_api_server) as proxy:
        token = read_token(ray_api_server.account_kubeconfig(home, ACCOUNT))
        kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig", token)
        operator = OperatorProcess(kubeconfig, tmp_path / "operator.log", settings=settings)
        operator.start()
        user = f"system:serviceaccount:{home}:{ACCOUNT}"
        yield Place(ray_api_server, proxy, operator, manifests, namespace, user, start)
        operator.kill()
    for manifest in manifests:
        if manifest["kind"] in {"ClusterRole", "ClusterRoleBinding"}:
            ray_api_server.api.delete(manifest["kind"], manifest["metadata"]["name"])


def start_job(place: Place) -> WatchedJob:
    """Make a job that waits for its claim, and let its first attempt run."""
    storage = {"uri": "pvc://runs/all"}
    manifest = make_job(place.namespace, targets=TARGETS, storage=storage)
    job = WatchedJob.create(place.cluster, manifest)
    job.wait_for("Accepted", "False/ClaimNotFound")
    make_claim(place.cluster, place.namespace, "runs")
    job.wait_for_attempt(1)
    job.play_start()
    job.report(sequence=1)
    job.wait_for("ClusterReady", "True/WorkersReady")
    return job


def take_children_away(job: WatchedJob) -> None:
    """Delete all but the RayJob, whose end would be an attempt's."""
    taken = {key for key in job.children() if key[0] != "RayJob"}
    for kind, name in taken:
        job.cluster.api.delete(kind, name, job.namespace)
    job.wait(lambda: taken <= job.children().keys())


def suspend_and_resume(job: WatchedJob) -> None:
    """End the first attempt, and let the second one measure its target."""
    job.edit({"suspend": True})
    job.play(1, jobDeploymentStatus="Complete", jobStatus="STOPPED")
    job.wait_for("Suspended", "True/SuspendedBySpec")
    job.edit({"suspend": False})
    job.wait_for_attempt(2)
    job.play_start(2)


def change_unseen(place: Place, job: WatchedJob) -> None:
    """Change each child, and make a pod, while no watch tells of it: the resync reads them."""
    place.proxy.change_events("/", drop)
    label = {"metadata": {"annotations": {"test": "unseen"}}}
    for kind, name in job.children():
        job.cluster.api.patch(kind, name, label, job.namespace)
    job.annotate("test", "unseen")
    make_pod(job)

    def is_read() -> bool:
        read = {right.resource for right in list_used(place.read_calls()) if right.verb == "get"}
        return {"pods", "jobs", "networkpolicies", "optimizationjobs"} <= read

    assert wait_until(is_read, SECONDS), sorted(list_used(place.read_calls()))
    place.proxy.heal()


def make_pod(job: WatchedJob) -> None:
    """Make a pod as KubeRay does, where nobody has made the account of pods."""
    api, uid = job.cluster.api, job.read()["metadata"]["uid"]
    metadata = {"name": "default", "namespace": job.namespace}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    labels = {LABEL_JOB_UID: uid, "trimtab.dev/job": job.name}
    spec = {"containers": [{"name": "ray", "image": "trimtab-trainer:test"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
    api.create({**pod, "metadata": {**metadata, "name": "head", "labels": labels}})


def end_driver(job: WatchedJob, attempt: int) -> None:
    """Let the driver of an attempt end with a result, which the target's Job then measures."""
    job.end(attempt, trials={"summary": "4/4", "total": 4, "succeeded": 4})
    job.play(attempt, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    job.wait(lambda: ("Job", f"{job.name}-t-pi") in job.children())


def measure(job: WatchedJob, attempt: int) -> None:
    job.report_target("pi", attempt)
    job.wait_for("Complete", "True/Finished")


def live(place: Place) -> None:
    job = start_job(place)
    take_children_away(job)
    suspend_and_resume(job)
    end_driver(job, 2)
    change_unseen(place, job)
    measure(job, 2)
    # The same study once more: what measured its targets before goes.
    job.edit({"stages": {"search": {"numTrials": 40}}})
    job.wait_for_attempt(3)
    job.play_start(3)
    end_driver(job, 3)
    measure(job, 3)
    job.edit({"ttlSecondsAfterFinished": 1})
    api = job.cluster.api
    assert wait_until(lambda: api.find("OptimizationJob", job.name, job.namespace) is None, SECONDS)


def test_the_operator_uses_each_of_its_rights_and_is_refused_none(place: Place) -> None:
    live(place)
    place.operator.kill()
    given, calls = list_rights(place.manifests), place.read_calls()
    assert [call for call in calls if call.code == FORBIDDEN] == []
    assert sorted(given - list_used(calls)) == []
    # One verb too many is found.
    wider = [{"rules": [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["update"]}]}]
    surplus = list_rights([*place.manifests, *wider]) - list_used(calls)
    assert surplus == {Right("ray.io", "rayjobs", "update")}
