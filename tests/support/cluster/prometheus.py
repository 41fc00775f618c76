"""A real Prometheus beside a test cluster: it scrapes an operator, and tests ask it as Grafana does.

It runs as a process on loopback with the rules of the chart. Debian's programs are taken, from the
PATH or from where `tools/prometheus.sh` puts them; without them it fails and says so.
"""

import ipaddress
import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.access import Cluster
from cluster.cache import cache_folder
from cluster.errors import ClusterStartError, MissingToolError
from cluster.node_settings import POD_BRIDGE
from cluster.processes import Processes, find_free_ports

__all__ = [
    "SCRAPE_JOB",
    "PrometheusServer",
    "Sequel",
    "find_operator_pod",
    "find_prometheus_program",
    "run_promtool",
    "running_prometheus",
]

SCRAPE_JOB = "trimtab-operator"
"""The label `job` of what is scraped."""
_SECONDS = 30.0

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sequel:
    """One series of an answer: its labels, and its values by time."""

    labels: Labels
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    """A running Prometheus, by the address of its API."""

    url: str

    def ask(self, expression: str, at: float | None = None) -> list[Sequel]:
        """Return what an expression is at a moment, now by default.

        Raises:
            ValueError: Prometheus refuses the expression; with its words.
        """
        moment = {} if at is None else {"time": at}
        data = self._get("query", query=expression, **moment)
        if data["resultType"] == "scalar":
            return [_read({"metric": {}, "values": [data["result"]]})]
        return [_read({**one, "values": [one["value"]]}) for one in data["result"]]

    def ask_range(
        self, expression: str, start: float, end: float, *, step: float = 1
    ) -> list[Sequel]:
        """Return what an expression was over time.

        Raises:
            ValueError: Prometheus refuses the expression; with its words.
        """
        data = self._get("query_range", query=expression, start=start, end=end, step=step)
        return [_read(one) for one in data["result"]]

    def list_values(self, label: str, selector: str) -> list[str]:
        """Return the values of a label among some series."""
        values: list[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return values

    def list_rules(self) -> dict[str, dict[str, Any]]:
        """Return the state of each alert by its name."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def list_targets(self) -> list[dict[str, Any]]:
        """Return what is scraped, and how that went."""
        targets: list[dict[str, Any]] = self._get("targets")["activeTargets"]
        return targets

    def is_ready(self) -> bool:
        """Return whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str, **parameters: Any) -> Any:
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{query}", timeout=_SECONDS
            ) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from error
        if told.get("warnings"):
            raise ValueError(f"{parameters}: {told['warnings']}")
        return told["data"]


@contextmanager
def running_prometheus(
    folder: Path, address: tuple[str, int], rules: Sequence[Path]
) -> Iterator[PrometheusServer]:
    """Scrape an operator each second for as long as the context is open.

    Args:
        folder: For its files.
        address: Where the operator serves its metrics, on this machine or in a pod on it.
        rules: Files of alerts.

    Raises:
        ClusterStartError: The address is not of this machine, or Prometheus does not start.
        MissingToolError: Prometheus is not there.
    """
    host, port = address
    if not _is_here(host):
        raise ClusterStartError(f"{host} is not on this machine: it is not scraped from here")
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": SCRAPE_JOB, "static_configs": [{"targets": [f"{host}:{port}"]}]}
        ],
    }
    path = folder / "prometheus.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    (own,) = find_free_ports(1)
    server = PrometheusServer(f"http://127.0.0.1:{own}")
    with Processes(folder) as processes:
        processes.start(
            "prometheus",
            [
                find_prometheus_program("prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
        )
        processes.wait_ready("prometheus", server.is_ready)
        yield server


def find_operator_pod(cluster: Cluster) -> tuple[str, int]:
    """Return where the operator's pod of tier N serves its metrics.

    Raises:
        ClusterStartError: There is not exactly one that runs.
    """
    pods = cluster.api.list("Pod", "trimtab-system", "app.kubernetes.io/component=operator")
    running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
    if len(running) != 1:
        raise ClusterStartError(f"{len(running)} pods of the operator run, not one")
    return running[0]["status"]["podIP"], 8081


def run_promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it prints.

    Raises:
        AssertionError: It finds something wrong; with its words.
        MissingToolError: It is not there.
    """
    done = subprocess.run(
        [find_prometheus_program("promtool"), *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise AssertionError(f"{done.stdout}{done.stderr}")
    return done.stdout


def find_prometheus_program(name: str) -> Path:
    """Return the path of prometheus or promtool.

    Raises:
        MissingToolError: It is neither on the PATH nor unpacked.
    """
    unpacked = cache_folder() / "prometheus" / name
    found = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
    if found is None:
        raise MissingToolError(
            f"{name} is missing: run tools/prometheus.sh, which unpacks Debian's package"
            f" prometheus, or put {name} 2.42 or newer on the PATH"
        )
    return Path(found)


def _is_here(host: str) -> bool:
    """Return whether an address is of this machine, or of a pod on the bridge of the test's node."""
    if ipaddress.ip_address(host).is_loopback:
        return True
    way = subprocess.run(["ip", "route", "get", host], check=False, capture_output=True, text=True)
    return f" dev {POD_BRIDGE} " in way.stdout and " via " not in way.stdout


def _read(one: Mapping[str, Any]) -> Sequel:
    points = tuple((float(moment), float(value)) for moment, value in one["values"])
    return Sequel(labels=one["metric"], points=points)
