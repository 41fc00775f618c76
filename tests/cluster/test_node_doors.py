"""A pod of another namespace gets nothing of a Ray cluster but what SECURITY.md says is open."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.claims import make_claim
from cluster.fixtures import NamespaceMaker
from cluster.intruder import Answers, send_intruder
from cluster.node_jobs import NodeJob, make_slow_job
from source_tree import ROOT

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
DASHBOARD, AGENT = 8265, 52365
METRICS = (8080, 44217, 44227)
ROUTE = re.compile(r"routes\.get\(\s*\"(/[^\"]*)\"")
ROW = re.compile(r"^\| ([0-9, ]+) \| ((?:`[^`]+`(?:, )?)+) \|", re.MULTILINE)


def list_routes() -> list[str]:
    """Return every path that Ray's dashboard and agents answer a GET on, parameters filled in."""
    spec = find_spec("ray")
    assert spec is not None
    sources = (Path(str(spec.origin)).parent / "dashboard").rglob("*.py")
    found = {path for file in sources for path in ROUTE.findall(file.read_text("utf-8"))}
    return sorted({re.sub(r"\{[^}]*\}", "1", path) for path in found})


def read_open_doors() -> set[str]:
    """Return what SECURITY.md lists as open without a token."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    section = text.split("### Open without a token\n")[1].split("\n#")[0]
    return {
        f"{port} {path}"
        for ports, paths in ROW.findall(section)
        for port in ports.split(", ")
        for path in re.findall(r"`([^`]+)`", paths)
    }


def test_the_routes_of_ray_and_the_open_doors_are_found() -> None:
    assert {"/", "/api/jobs/", "/api/version", "/api/v0/nodes", "/nodes/1"} <= set(list_routes())
    assert f"{DASHBOARD} /" in read_open_doors()


@pytest.fixture
def answers(node_operator: Cluster, make_namespace: NamespaceMaker, trainer_image: str) -> Answers:
    namespace, other = (make_namespace(node_operator, RESTRICTED) for _ in range(2))
    make_claim(node_operator, namespace, "runs")
    job = NodeJob.apply(node_operator, namespace, make_slow_job("guarded"))
    job.wait_for("ClusterReady", "True", "WorkersReady")
    (head,) = job.pods("head")
    paths = {port: [*list_routes(), "/static/", "/-/healthz"] for port in (DASHBOARD, AGENT)}
    paths |= {port: ["/metrics"] for port in METRICS}
    host = head["status"]["podIP"]
    return send_intruder(node_operator, other, trainer_image, host=host, paths=paths)


@pytest.mark.cluster_n
@pytest.mark.timeout(900)
def test_f75_without_the_token_only_listed_doors_are_open(answers: Answers) -> None:
    refused = {door for door, status in answers.http.items() if status == 401}
    for path in ("/api/jobs/", "/api/version", "/nodes", "/api/v0/nodes", "/api/v0/tasks"):
        assert f"GET {DASHBOARD} {path}" in refused
    assert f"POST {DASHBOARD} /api/jobs/" in refused
    assert {answers.wrong[door] for door in refused} == {403}
    listed = {f"GET {door}" for door in read_open_doors()}
    answering = {door for door, status in answers.http.items() if status not in {0, 401, 404}}
    assert answering <= listed, answers.http
    # Some of them Ray lets through to nothing: it names them, and has no answer for them.
    assert {answers.http[door] for door in listed}.isdisjoint({0, 401}), answers.http
    assert f"GET {DASHBOARD} /" in answering
    assert len(answers.grpc) > 20
    assert set(answers.grpc.values()) == {"UNAUTHENTICATED"}, answers.grpc
