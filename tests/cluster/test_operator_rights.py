"""A right that the operator loses is named in the status, asked for ever more rarely, and missed no longer."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.claims import make_claim
from cluster.faults import Seen, has_path
from cluster.fixtures import NamespaceMaker
from cluster.operator_stage import Stage
from cluster.processes import wait_until
from cluster.watched_job import make_job
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

ROLE = "trimtab-operator"
ACCOUNT = "system:serviceaccount:trimtab-system:trimtab-operator"
SECONDS = 40.0
TRIES = 7
FIRST_PAUSE, LONGEST_PAUSE = 0.025, 1.5
"""The least that a spread leaves of the pauses, as short as they are in tests."""


@pytest.fixture(scope="module")
def stage(ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("rights")
    with ChaosProxy(ray_api_server) as proxy, operator_behind(proxy, folder) as operator:
        yield Stage(ray_api_server, proxy, operator)
        assert "Traceback" not in operator.read_log()


@contextmanager
def revoked(cluster: Cluster, verb: str, resource: str) -> Iterator[None]:
    """Take one verb on one resource from the operator's role."""
    plural = resource.partition(".")[0]
    rules = cluster.api.get("ClusterRole", ROLE)["rules"]
    fewer = [
        {**rule, "verbs": verbs}
        for rule in rules
        if (
            verbs := [
                one for one in rule["verbs"] if plural not in rule["resources"] or one != verb
            ]
        )
    ]
    assert wait_until(lambda: may(cluster, verb, resource), SECONDS)
    try:
        cluster.api.patch("ClusterRole", ROLE, {"rules": fewer})
        assert wait_until(lambda: not may(cluster, verb, resource), SECONDS)
        yield
    finally:
        cluster.api.patch("ClusterRole", ROLE, {"rules": rules})


def may(cluster: Cluster, verb: str, resource: str) -> bool:
    """Ask the API server whether the operator has a right."""
    name, _, group = resource.partition(".")
    asked = {"verb": verb, "resource": name, "group": group, "namespace": "default"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": asked},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = cluster.api.request("POST", path, body=review)
    return bool(answer["status"]["allowed"])


def pauses_between(requests: list[Seen]) -> list[float]:
    return [later.at - earlier.at for earlier, later in itertools.pairwise(requests)]


ASKED = {
    ("patch", "rayjobs.ray.io"): "patch",
    ("create", "configmaps"): "patch",
    ("list", "pods"): "list",
    ("get", "persistentvolumeclaims"): "get",
}
"""With what the operator asks for the right; a patch may create."""


@pytest.mark.parametrize(("verb", "resource"), list(ASKED))
def test_f09_a_verb_that_is_revoked_is_named_and_its_return_is_enough(
    stage: Stage, make_namespace: NamespaceMaker, verb: str, resource: str
) -> None:
    ray, pid = stage.play(make_namespace(stage.cluster)), stage.operator.pid
    make_claim(stage.cluster, ray.namespace, "runs")
    plural = resource.partition(".")[0]
    method = "PATCH" if ASKED[verb, resource] == "patch" else "GET"
    refused = has_path(f"/namespaces/{ray.namespace}/{plural}", method)

    def tries() -> list[Seen]:
        return [seen for seen in list(stage.proxy.requests) if refused(seen)]

    with revoked(stage.cluster, verb, resource):
        ray.cluster.api.create(make_job(ray.namespace, storage={"uri": "pvc://runs/all"}))
        assert ray.wait(lambda: ray.says("Degraded") == "True/Forbidden"), ray.read_status()
        message = ray.read_status()["message"]
        assert f"the operator may not {ASKED[verb, resource]} {resource} " in message
        assert f'cannot {verb} resource "{plural}"' in message
        assert ray.wait(lambda: len(tries()) > TRIES, SECONDS)
        pauses = pauses_between(tries())[:TRIES]
    least = [min(FIRST_PAUSE * 2.0**number, LONGEST_PAUSE) for number in range(TRIES)]
    assert all(pause > 0.9 * wanted for pause, wanted in zip(pauses, least, strict=True)), pauses
    assert ray.wait(lambda: ray.read_status().get("state") == "Running"), ray.read_status()
    assert ray.says("Degraded") == "False/Recovered"
    assert ray.says("Accepted") == "True/SpecAccepted"
    assert ray.read_status()["attempt"] == 1
    assert [len(uids) for uids in ray.seen.values()] == [1]
    assert stage.operator.pid == pid
