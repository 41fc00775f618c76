"""The operator as a process against a test cluster, with the rights that `deploy/` gives it.

Tests of tier A and above start it through `OperatorProcess`; times are shrunk, so that what takes a
minute in production takes seconds.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.processes import dies_with_parent, find_free_ports, wait_until
from trimtab_codegen.deploy import build_operator_manifests

__all__ = [
    "HASTY",
    "PATIENT",
    "OperatorProcess",
    "install_rights",
    "operator_behind",
    "read_token",
    "running_operator",
]

HASTY, PATIENT = 0.05, 0.2
"""Factors of the operator's times: a driver that tells nothing is stalled after 6 or 24 s, KubeRay is
missing after 3 or 12 s. Patience is for tests whose drivers report once, and do more than wait."""
_NAMESPACE, _ACCOUNT = "trimtab-system", "trimtab-operator"
_SECONDS = 40.0


def install_rights(cluster: Cluster) -> Path:
    """Apply the operator's account and role, and return a kubeconfig of that account."""
    for manifest in build_operator_manifests():
        if manifest["kind"] != "Deployment":
            cluster.api.apply(manifest)
    return cluster.account_kubeconfig(_NAMESPACE, _ACCOUNT)


def read_token(kubeconfig: Path) -> str:
    """Return the token of a kubeconfig with one user, for another file with another address."""
    token: str = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    return token


@dataclass(slots=True)
class OperatorProcess:
    """One operator, which can be stopped, killed and started again.

    Attributes:
        kubeconfig: Of its account.
        log: Where it writes.
        time_factor: By what its times are shortened.
        settings: More of its environment.
        module: What Python runs.
    """

    kubeconfig: Path
    log: Path
    time_factor: float = HASTY
    settings: Mapping[str, str] = field(default_factory=dict)
    module: str = "trimtab_operator"
    _process: subprocess.Popen[bytes] | None = None
    _port: int = 0
    _metrics_port: int = 0

    def start(self) -> None:
        """Start it and wait until it watches."""
        self._port, self._metrics_port = find_free_ports(2)
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "TRIMTAB_OPERATOR_TRAINER_IMAGE": "trimtab-trainer:test",
            "TRIMTAB_OPERATOR_HEALTH_PORT": str(self._port),
            "TRIMTAB_OPERATOR_METRICS_PORT": str(self._metrics_port),
            "TRIMTAB_OPERATOR_TIME_FACTOR": str(self.time_factor),
            **self.settings,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*dies_with_parent(), sys.executable, "-m", self.module],
                env=environment,
                stderr=log,
            )
        if not wait_until(self._is_up, _SECONDS):
            raise TimeoutError(f"the operator does not answer: {self.read_log()[-2000:]}")

    @property
    def pid(self) -> int | None:
        """Return the process that runs now; None where it was ended, or has ended by itself."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def is_healthy(self) -> bool:
        """Return whether `/healthz` says that all is well."""
        return self._is_up()

    @property
    def metrics_address(self) -> tuple[str, int]:
        """Return where it serves its metrics, since its last start."""
        return "127.0.0.1", self._metrics_port

    def scrape(self, seconds: float = _SECONDS) -> bytes:
        """Return its metrics, as Prometheus reads them.

        Raises:
            OSError: It does not answer.
        """
        host, port = self.metrics_address
        url = f"http://{host}:{port}/metrics"
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return bytes(answer.read())

    def stop(self) -> int:
        """Ask it to end, as the kubelet does, and return its exit status."""
        return self._end(kill=False)

    def kill(self) -> None:
        """End it at once, as a fault."""
        self._end(kill=True)

    def read_log(self) -> str:
        """Return what it wrote so far, of all its starts."""
        return self.log.read_text(encoding="utf-8")

    def _end(self, *, kill: bool) -> int:
        process = self._process
        if process is None:
            return 0
        self._process = None
        if kill:
            process.kill()
        else:
            process.terminate()
        return process.wait(_SECONDS)

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the operator ended: {self.read_log()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz") as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running_operator(
    cluster: Cluster, folder: Path, time_factor: float = HASTY, **settings: str
) -> Iterator[OperatorProcess]:
    """Run the operator for as long as the context is open."""
    kubeconfig, log = install_rights(cluster), folder / "operator.log"
    operator = OperatorProcess(kubeconfig, log, time_factor, settings)
    operator.start()
    try:
        yield operator
    finally:
        operator.kill()


@contextmanager
def operator_behind(
    proxy: ChaosProxy,
    folder: Path,
    name: str = "operator",
    time_factor: float = HASTY,
    **settings: str,
) -> Iterator[OperatorProcess]:
    """Run an operator whose requests go through a proxy, for as long as the context is open."""
    token = read_token(install_rights(proxy.cluster))
    kubeconfig = proxy.kubeconfig(folder / f"{name}.kubeconfig", token)
    operator = OperatorProcess(kubeconfig, folder / f"{name}.log", time_factor, settings)
    operator.start()
    try:
        yield operator
    finally:
        operator.kill()
