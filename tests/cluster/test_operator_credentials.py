"""A token that the API server no longer takes is replaced by the next one, without a restart."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.faults import Answer, Fault
from cluster.fixtures import NamespaceMaker
from cluster.played_ray import PlayedRay
from cluster.processes import wait_until
from cluster.watched_job import make_job
from operator_process import OperatorProcess, install_rights, read_token

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 40.0
WATCHED = {"/apis/ray.io/v1/rayjobs", "/api/v1/configmaps"}
NEW_START = "the watches start anew"


def write_in_config(folder: Path, server: str) -> Callable[[str], None]:
    return lambda token: write_config(folder, server, {"token": token})


def write_in_file(folder: Path, server: str) -> Callable[[str], None]:
    path = folder / "token"
    write_config(folder, server, {"tokenFile": str(path)})
    return lambda token: write_whole(path, token)


def write_config(folder: Path, server: str, user: dict[str, str]) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    write_whole(folder / "config", json.dumps(content))


def write_whole(path: Path, text: str) -> None:
    """Replace a file at once, as the kubelet does with tokens."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def list_watched(proxy: ChaosProxy, token: str) -> set[str]:
    requests = list(proxy.requests)
    return {seen.path for seen in requests if seen.is_watch and seen.token == token}


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("writer", [write_in_config, write_in_file], ids=["config", "file"])
def test_f10_a_new_token_is_taken_without_a_restart(
    ray_api_server: Cluster,
    tmp_path: Path,
    make_namespace: NamespaceMaker,
    writer: Callable[[Path, str], Callable[[str], None]],
    late: bool,
) -> None:
    old = read_token(install_rights(ray_api_server))
    new = ray_api_server.account_api("trimtab-system", "trimtab-operator").token
    ray = PlayedRay(ray_api_server, make_namespace(ray_api_server))
    with ChaosProxy(ray_api_server) as proxy:
        put = writer(tmp_path, proxy.url)
        put(old)
        operator = OperatorProcess(tmp_path / "config", tmp_path / "operator.log")
        operator.start()
        try:
            if not late:
                put(new)
            proxy.add(Fault(lambda seen: seen.token == old, Answer(401), times=None))
            proxy.cut_watches()
            if late:
                refused = len(proxy.requests) + 30
                assert wait_until(lambda: len(proxy.requests) > refused, SECONDS)
                put(new)
            pid = operator.pid
            ray.cluster.api.create(make_job(ray.namespace))
            assert ray.wait(lambda: ray.read_status().get("state") == "Running", SECONDS)
            assert wait_until(lambda: list_watched(proxy, new) >= WATCHED, SECONDS)
            assert operator.pid == pid
            # kopf logs in again by itself, but for a token that it knows to be refused.
            assert late or NEW_START not in operator.read_log()
        finally:
            operator.kill()
