"""One operator on a server of its own: jobs are made for it, and what it uses is read.

Used by the benchmark of operators. Each run starts etcd and an API server anew, so that no operator
carries the objects of another. Figures per write are computed here from what was read.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.operator_ways import running
from bench.played_kuberay import playing_kuberay
from bench.process_usage import Usage, read_usage
from cluster.access import Cluster
from cluster.audit_log import Activity, Call, audit_flags, audit_log, read_calls
from cluster.control_plane import Network, start_servers
from cluster.definitions import apply_definitions, kuberay_definitions, own_definitions
from cluster.processes import Processes, wait_until

__all__ = ["Load", "Measured", "measure"]

_NAMESPACE = "bench"
_MILLISECONDS = 1000
# Ours holds back figures of a status for 15 s.
_QUIET_SECONDS = 18.0
_LONGEST_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What an operator is given to do.

    Attributes:
        paced: Jobs that come one by one; their latencies are told.
        pause: Seconds between two of them.
        jobs: Jobs at the end; those after the paced ones come as fast as they can be made.
        idle_seconds: How long nothing happens then.
    """

    paced: int
    pause: float
    jobs: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class _Span:
    """What happened, and what it cost the operator, between two moments."""

    activity: Activity
    jobs: Sequence[str]
    before: Usage
    after: Usage

    @property
    def cpu_seconds(self) -> float:
        return self.after.cpu_seconds - self.before.cpu_seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of an operator: jobs one by one, many jobs, nothing."""

    started: Usage
    """Before the first job."""
    paced: _Span
    burst: _Span
    idle: _Span
    idle_seconds: float

    @property
    def latency_ms(self) -> float:
        """Return the median time from a job's creation to its first child's, one by one."""
        return median(self.paced.activity.list_latencies(self.paced.jobs))

    @property
    def paced_cpu_ms(self) -> float:
        """Return the CPU time of a write where jobs come one by one."""
        return _per_write(self.paced)

    @property
    def burst_cpu_ms(self) -> float:
        """Return the CPU time of a write where many jobs come at once."""
        return _per_write(self.burst)

    @property
    def cpu_ms_per_job(self) -> float:
        """Return the CPU time of a job where many come at once."""
        return _MILLISECONDS * self.burst.cpu_seconds / len(self.burst.jobs)

    @property
    def writes_per_job(self) -> float:
        """Return the writes of a job."""
        return len(self.burst.activity.writes) / len(self.burst.jobs)

    @property
    def reads_per_job(self) -> float:
        """Return the reads of a job, without its share of the watches."""
        return len(self.burst.activity.reads) / len(self.burst.jobs)

    @property
    def resident_mib(self) -> float:
        """Return the memory with all jobs, after the quiet."""
        return self.idle.after.resident_mib

    @property
    def idle_writes(self) -> int:
        """Return the writes while nothing happened."""
        return len(self.idle.activity.writes)

    @property
    def idle_cpu_percent(self) -> float:
        """Return the share of a core that is used while nothing happens."""
        return 100 * self.idle.cpu_seconds / self.idle_seconds


def _per_write(span: _Span) -> float:
    return _MILLISECONDS * span.cpu_seconds / len(span.activity.writes)


def measure(way: str, load: Load) -> Measured:
    """Run one operator through a load.

    Raises:
        TimeoutError: It did not start, or did not come to rest.
        ClusterStartError: The servers did not start.
        ApiRefusedError: The server did not take a job.
    """
    with (
        _fresh_server() as (cluster, log),
        playing_kuberay(cluster, _NAMESPACE),
        running(way, cluster) as process,
    ):
        run = _Run(cluster, log, lambda: read_usage(process))
        # What is loaded at the first use is loaded now.
        run.give(["warm0", "warm1"], 0)
        started = run.usage()
        names = [f"job{number}" for number in range(load.jobs)]
        paced = run.give(names[: load.paced], load.pause)
        burst = run.give(names[load.paced :], 0)
        idle = run.rest(load.idle_seconds)
        return Measured(started, paced, burst, idle, load.idle_seconds)


@contextmanager
def _fresh_server() -> Iterator[tuple[Cluster, Path]]:
    with TemporaryDirectory(prefix="trimtab-bench-") as name:
        folder = Path(name)
        with Processes(folder) as processes:
            cluster = start_servers(processes, Network(), audit_flags(folder)).cluster
            apply_definitions(cluster.api, [*own_definitions(), *kuberay_definitions()])
            metadata = {"name": _NAMESPACE}
            cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            yield cluster, audit_log(folder)


class _Run:
    """An operator under load."""

    def __init__(self, cluster: Cluster, log: Path, usage: Callable[[], Usage]) -> None:
        self._cluster = cluster
        self._log = log.open(encoding="utf-8")
        self._calls: list[Call] = []
        self._rest = ""
        self.usage = usage

    def give(self, names: Sequence[str], pause: float) -> _Span:
        """Make jobs, and wait until the operator has done its part and rests."""
        before, seen = self.usage(), len(self._read())
        for name in names:
            self._cluster.api.create(_make_job(name))
            if pause:
                time.sleep(pause)

        def is_done() -> bool:
            self.usage()  # an operator that ended is not waited for
            return set(names) <= Activity(self._read()).list_with_status()

        if not wait_until(_Seldom(is_done), _LONGEST_SECONDS):
            raise TimeoutError(f"not all of {len(names)} jobs have a status")
        self._wait_for_quiet()
        return _Span(Activity(self._read()[seen:]), names, before, self.usage())

    def rest(self, seconds: float) -> _Span:
        """Do nothing for a while."""
        before, seen = self.usage(), len(self._read())
        time.sleep(seconds)
        return _Span(Activity(self._read()[seen:]), (), before, self.usage())

    def _wait_for_quiet(self) -> None:
        known, since = -1, time.monotonic()

        def is_quiet() -> bool:
            nonlocal known, since
            writes = len(Activity(self._read()).writes)
            if writes != known:
                known, since = writes, time.monotonic()
            return time.monotonic() - since > _QUIET_SECONDS

        if not wait_until(_Seldom(is_quiet), _LONGEST_SECONDS):
            raise TimeoutError("the operator writes on and on")

    def _read(self) -> list[Call]:
        """Return all calls up to now; only what is new in the log is read."""
        text = self._rest + self._log.read()
        whole, newline, self._rest = text.rpartition("\n")
        self._calls += read_calls((whole + newline).splitlines())
        return self._calls


class _Seldom:
    """Asks a question that costs something at most once in a second."""

    def __init__(self, question: Callable[[], bool]) -> None:
        self._question = question

    def __call__(self) -> bool:
        time.sleep(1)
        return self._question()


def _make_job(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {
            "model": {"builtin": "small-cnn"},
            "dataset": {"builtin": "digits"},
            "constraints": [{"metric": "accuracy", "maxDrop": 0.01}],
            "stages": {"search": {}, "train": {}, "prune": {}, "quantize": {}},
            "storage": {"uri": "s3://runs/all"},
        },
    }
