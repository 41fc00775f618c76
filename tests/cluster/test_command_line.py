"""The commands that ask a cluster understand a real API server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from report_builder import make_manifest
from trimtab_cli.__main__ import app
from trimtab_cli.access import NotFoundError
from trimtab_cli.cluster import connect_cluster
from trimtab_cli.following import follow_job

pytestmark = pytest.mark.cluster_a

Command = Callable[..., Result]
ENDED = {
    "observedGeneration": 1,
    "state": "Complete",
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": "",
            "lastTransitionTime": "2026-11-24T10:00:00Z",
        }
        for kind, reason in (("Complete", "Finished"), ("GoalsMet", "AllConstraintsMet"))
    ],
}


@pytest.fixture
def namespace(
    api_server: Cluster, make_namespace: NamespaceMaker, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))
    return make_namespace(api_server)


@pytest.fixture
def trimtab(namespace: str) -> Command:
    """The command line, in a namespace of the test's own."""

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(app, [*map(str, words), "-n", namespace])

    return run


@pytest.fixture
def job(api_server: Cluster, namespace: str) -> str:
    document = make_manifest()
    document["metadata"]["namespace"] = namespace
    api_server.kubectl("apply", "-f", "-", text=json.dumps(document))
    return namespace


def patch_status(cluster: Cluster, namespace: str, status: dict[str, Any]) -> None:
    cluster.kubectl(
        *("-n", namespace, "patch", "optimizationjobs.trimtab.dev", "digits"),
        *("--subresource=status", "--type=merge", "-p", json.dumps({"status": status})),
    )


def write_manifest(folder: Path, **changes: Any) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(make_manifest(**changes), indent=1), "utf-8")
    return path


def test_the_doctor_finds_what_a_bare_cluster_lacks(trimtab: Command) -> None:
    result = trimtab("doctor", "-o", "json")

    states = {entry["subject"]: entry["state"] for entry in json.loads(result.stdout)}
    assert states == {
        "API server": "ok",
        "definition": "ok",
        "operator": "failed",
        "KubeRay": "failed",
        "namespace": "ok",
        "rights": "ok",
    }
    assert result.exit_code == 5


def test_the_doctor_finds_what_a_job_lacks(trimtab: Command, tmp_path: Path) -> None:
    storage = {"uri": "pvc://data/runs", "secretRef": {"name": "s3"}}

    result = trimtab("doctor", "-f", write_manifest(tmp_path, storage=storage), "-o", "json")

    found = {entry["subject"]: entry["text"] for entry in json.loads(result.stdout)}
    assert "does not exist" in found["claim data"]
    assert found["secret s3"] == "does not exist"
    assert found["nodes for workers"] == "the cluster has no nodes"


def test_the_doctor_tells_a_stranger_what_to_ask_for(
    api_server: Cluster, trimtab: Command, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_server.kubectl("-n", namespace, "create", "serviceaccount", "stranger")
    stranger = api_server.account_kubeconfig(namespace, "stranger")
    monkeypatch.setenv("KUBECONFIG", str(stranger))

    result = trimtab("doctor", "-o", "json")

    checks = json.loads(result.stdout)
    states = {entry["subject"]: entry["state"] for entry in reversed(checks)}
    assert (states["definition"], states["operator"]) == ("ok", "unknown")
    assert states["rights"] == "failed"
    assert "namespace" not in states


def test_the_server_accepts_what_is_valid(trimtab: Command, tmp_path: Path) -> None:
    result = trimtab("validate", "--server", write_manifest(tmp_path))

    assert result.exit_code == 0, result.output
    assert "digits is valid, also for the API server" in result.stdout


def test_an_immutable_field_is_refused_in_the_file(
    trimtab: Command, job: str, tmp_path: Path
) -> None:
    path = write_manifest(tmp_path, seed=8)

    result = trimtab("validate", "--server", path)

    assert result.exit_code == 2
    assert result.stdout.startswith(f"{path}:")
    assert "seed is immutable" in result.stdout


def test_the_servers_word_on_an_unknown_namespace_is_one_line(
    api_server: Cluster, namespace: str, tmp_path: Path
) -> None:
    words = ["validate", "--server", str(write_manifest(tmp_path)), "-n", "nowhere"]

    result = CliRunner().invoke(app, words)

    assert result.exit_code == 2
    assert 'namespaces "nowhere" not found' in result.stderr


def test_a_new_job_is_shown(trimtab: Command, job: str) -> None:
    result = trimtab("status", "digits")

    assert result.exit_code == 0
    assert f"{job}/digits: not seen by an operator yet" in result.stdout
    assert json.loads(trimtab("status", "digits", "-o", "json").stdout)["kind"] == "OptimizationJob"


def test_a_missing_job_ends_with_one_line(trimtab: Command) -> None:
    result = trimtab("status", "nothing")

    assert result.exit_code == 2
    assert '"nothing" not found' in result.stderr


def test_watching_an_ended_job_ends_as_it_did(
    api_server: Cluster, trimtab: Command, job: str
) -> None:
    patch_status(api_server, job, ENDED)

    assert trimtab("status", "digits", "--watch").exit_code == 0


def test_each_change_comes_through_the_watch(api_server: Cluster, job: str) -> None:
    cluster = connect_cluster(context=None, namespace=job)
    snapshots = follow_job(cluster, "digits", pause=lambda _: None)

    assert "status" not in next(snapshots)
    patch_status(api_server, job, {"state": "Running"})
    assert next(snapshots)["status"]["state"] == "Running"
    patch_status(api_server, job, ENDED)
    assert next(snapshots)["status"]["state"] == "Complete"
    api_server.kubectl("-n", job, "delete", "optimizationjobs.trimtab.dev", "digits")
    with pytest.raises(NotFoundError, match="digits was deleted"):
        next(snapshots)
