"""The account of a job's driver and targets may read and patch one ConfigMap, and nothing else."""

import json
from dataclasses import dataclass

import pytest

from cluster.access import Cluster
from cluster.api import Api, ApiRefusedError
from cluster.fixtures import NamespaceMaker
from cluster.kinds import CHILD_KINDS, collection_path, object_path
from cluster.watched_job import WatchedJob, make_job

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow, pytest.mark.usefixtures("operator")]

REPORT = "digits-progress"
KINDS = (*CHILD_KINDS, "Secret", "Pod", "Event", "Namespace", "OptimizationJob", "Node", "Lease")


@dataclass(frozen=True)
class Intruder:
    """Code of a job that holds the token of its account."""

    cluster: Cluster
    api: Api
    namespace: str
    other: str

    def ask(self, method: str, path: str) -> int:
        """Return the status of an answer; 0 where it was allowed."""
        body = None if method == "GET" else {}
        patch = "merge" if method == "PATCH" else None
        try:
            self.api.request(method, path, body=body, patch=patch)
        except ApiRefusedError as error:
            return error.code
        return 0

    def ask_all(self, paths: list[str], *methods: str) -> dict[str, int]:
        return {f"{method} {path}": self.ask(method, path) for path in paths for method in methods}


@pytest.fixture
def intruder(ray_api_server: Cluster, make_namespace: NamespaceMaker) -> Intruder:
    namespace, other = make_namespace(ray_api_server), make_namespace(ray_api_server)
    for where in (namespace, other):
        secret = {"kind": "Secret", "apiVersion": "v1", "stringData": {"key": "hush"}}
        ray_api_server.api.create({**secret, "metadata": {"name": "s3", "namespace": where}})
        for name in ("digits", "flowers"):
            job = WatchedJob.create(ray_api_server, make_job(where, name))
            job.wait(lambda job=job: len(job.children()) >= len(CHILD_KINDS) - 1)
    return Intruder(ray_api_server, ray_api_server.account_api(namespace, REPORT), namespace, other)


def test_f77_the_account_reads_and_patches_its_own_report(intruder: Intruder) -> None:
    api, namespace = intruder.api, intruder.namespace
    assert "control.json" in api.get("ConfigMap", REPORT, namespace)["data"]
    text = json.dumps({"any": "thing"})
    changed = api.patch("ConfigMap", REPORT, {"data": {"progress.json": text}}, namespace)
    assert changed["data"]["progress.json"] == text


def test_f77_the_account_may_do_nothing_else_to_its_own_report(intruder: Intruder) -> None:
    path = object_path("ConfigMap", REPORT, intruder.namespace)
    answers = intruder.ask_all([path], "PUT", "DELETE")
    assert set(answers.values()) == {403}, answers


@pytest.mark.parametrize("kind", KINDS)
def test_f77_the_account_lists_creates_and_clears_nothing(intruder: Intruder, kind: str) -> None:
    paths = [collection_path(kind, where) for where in (intruder.namespace, intruder.other, None)]
    answers = intruder.ask_all(paths, "GET", "POST", "DELETE")
    assert set(answers.values()) == {403}, answers


def test_f77_the_account_touches_no_other_object_of_any_namespace(intruder: Intruder) -> None:
    paths = [
        object_path(kind, one["metadata"]["name"], where)
        for where in (intruder.namespace, intruder.other)
        for kind in KINDS
        if kind not in {"Namespace", "Node"}
        for one in intruder.cluster.api.list(kind, where)
        if (kind, one["metadata"]["name"], where) != ("ConfigMap", REPORT, intruder.namespace)
    ]
    jobs = [path for path in paths if "/optimizationjobs/" in path]
    assert len(jobs) == 4
    assert any("/secrets/s3" in path for path in paths)
    assert any(path.endswith("/configmaps/digits-a1") for path in paths)
    paths += [f"{path}/status" for path in jobs]
    answers = intruder.ask_all(paths, "GET", "PATCH", "PUT", "DELETE")
    assert set(answers.values()) == {403}, answers


def test_f77_a_job_of_the_same_name_elsewhere_keeps_its_report_to_itself(
    intruder: Intruder,
) -> None:
    """Names repeat from namespace to namespace; rights do not."""
    path = object_path("ConfigMap", REPORT, intruder.other)
    answers = intruder.ask_all([path], "GET", "PATCH")
    assert set(answers.values()) == {403}, answers


def test_f77_the_account_can_make_itself_nothing_more(intruder: Intruder) -> None:
    where = intruder.namespace
    token = f"{object_path('ServiceAccount', 'default', where)}/token"
    paths = [token, collection_path("ClusterRoleBinding", None), collection_path("Role", where)]
    paths.append(f"{collection_path('Pod', where)}/any/exec")
    answers = intruder.ask_all(paths, "POST")
    assert set(answers.values()) == {403}, answers
