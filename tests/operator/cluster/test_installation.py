"""The check of an installation names what is missing, a sentence each, and nothing where all is well."""

import asyncio
from typing import Any

import pytest

from fake_cluster import FakeCluster, open_client, serve_cluster
from trimtab_operator.__main__ import main
from trimtab_operator.cluster.installation import find_faults
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, ApiKind

DEPLOYMENT = ApiKind("Deployment", "apps", "v1", "deployments", ("get",))
ROOT = OPTIMIZATION_JOB.path(None).removesuffix("/optimizationjobs")


def check(status: dict[str, Any] | None, *, is_served: bool = True) -> list[str]:
    """Return the faults of an installation whose Deployment has a status, or is missing."""

    async def run() -> list[str]:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            prepare(cluster)
            return [fault async for fault in find_faults(client, "system", "operator")]

    def prepare(cluster: FakeCluster) -> None:
        cluster.absent = set() if is_served else {ROOT}
        if status is not None:
            metadata = {"name": "operator", "namespace": "system", "generation": 2}
            cluster.add(DEPLOYMENT, {"metadata": metadata, "status": status})

    return asyncio.run(run())


def test_an_operator_that_is_available_is_enough() -> None:
    assert check({"observedGeneration": 2, "availableReplicas": 1}) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "get deployments.apps system/operator"),
        ({}, "the Deployment system/operator is not rolled out yet"),
        ({"observedGeneration": 1, "availableReplicas": 1}, "is not rolled out yet"),
        ({"observedGeneration": 2}, "no pod of the Deployment system/operator is available"),
    ],
)
def test_an_operator_that_is_missing_or_down_is_named(
    status: dict[str, Any] | None, words: str
) -> None:
    (fault,) = check(status)
    assert words in fault


def test_a_definition_that_is_not_served_is_named() -> None:
    (fault,) = check({"observedGeneration": 2, "availableReplicas": 1}, is_served=False)
    assert fault == "the API server does not serve optimizationjobs.trimtab.dev"


def test_a_check_without_credentials_fails_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert main(["check", "system/operator"]) == 1
    assert "failed: log in to the API server: no usable credentials" in capsys.readouterr().err
