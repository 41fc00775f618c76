"""The operators that are measured, each a process on a server of its own.

Used by the benchmark of operators. A way is a command, the rights that it needs, and how one asks
whether it runs; what it is given to do is `operator_run`'s business.
"""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.support_path import SUPPORT
from cluster.access import Cluster
from cluster.processes import dies_with_parent, find_free_ports, wait_until
from operator_process import install_rights

__all__ = ["CREATE", "EVENT", "OURS", "WAYS", "running"]

OURS = "trimtab"
EVENT = "kopf on.event"
CREATE = "kopf on.create/update"
WAYS = (OURS, EVENT, CREATE)
"""In the order of the tables."""

_KINDS = {EVENT: "event", CREATE: "create"}
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0

_RULES = [
    {"apiGroups": ["trimtab.dev"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["configmaps", "events"], "verbs": ["create"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "verbs": ["list", "watch"],
    },
]
_ACCOUNT = "minimal-operator"


@dataclass(frozen=True, slots=True)
class _Program:
    command: list[str]
    kubeconfig: Path
    settings: Mapping[str, str]


@contextmanager
def running(way: str, cluster: Cluster) -> Iterator[int]:
    """Run an operator on a cluster while the context is open; gives its process id.

    Raises:
        TimeoutError: It does not start.
    """
    port, metrics_port = find_free_ports(2)
    program = _prepare(way, cluster, port, metrics_port)
    environment = {**os.environ, **program.settings, "KUBECONFIG": str(program.kubeconfig)}
    with (cluster.folder / "operator.log").open("ab") as log:
        process = subprocess.Popen(
            [*dies_with_parent(), *program.command],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            if not wait_until(lambda: _answers(process, port), _START_SECONDS):
                raise TimeoutError(f"{way} does not answer after {_START_SECONDS:.0f} s")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _prepare(way: str, cluster: Cluster, port: int, metrics_port: int) -> _Program:
    if way == OURS:
        settings = {
            "TRIMTAB_OPERATOR_TRAINER_IMAGE": "trimtab-trainer:bench",
            "TRIMTAB_OPERATOR_HEALTH_PORT": str(port),
            "TRIMTAB_OPERATOR_METRICS_PORT": str(metrics_port),
        }
        command = [sys.executable, "-m", "trimtab_operator"]
        return _Program(command, install_rights(cluster), settings)
    command = [sys.executable, "-m", "bench.minimal_operator", _KINDS[way], str(port)]
    return _Program(command, _grant(cluster), {"PYTHONPATH": str(SUPPORT.parents[1])})


def _grant(cluster: Cluster) -> Path:
    """Make an account with the rights of a minimal operator, and return its kubeconfig."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _ACCOUNT}
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": "default"}
    version = "rbac.authorization.k8s.io/v1"
    for manifest in (
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": _ACCOUNT, "namespace": "default"},
        },
        {
            "apiVersion": version,
            "kind": "ClusterRole",
            "metadata": {"name": _ACCOUNT},
            "rules": _RULES,
        },
        {
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _ACCOUNT},
            "roleRef": role,
            "subjects": [subject],
        },
    ):
        cluster.api.apply(manifest)
    return cluster.account_kubeconfig("default", _ACCOUNT)


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    if process.poll() is not None:
        raise TimeoutError(f"the operator ended with {process.returncode}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
