"""Jobs that come and go for a long time leave nothing in the operator, and nothing behind."""

import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.api import ApiRefusedError
from cluster.fixtures import NamespaceMaker
from cluster.kinds import CHILD_KINDS
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from flatness import measure_drift
from operator_process import OperatorProcess, install_rights
from probed_operator import PROBE_VARIABLE, Holding, read_probe

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 90.0
WAVES = 10
"""Of the shorter run: the least that has four quarters, and some more."""
CYCLES = [
    pytest.param(50, 5, id="50"),
    pytest.param(2000, 50, id="2000", marks=[pytest.mark.campaign, pytest.mark.timeout(3600)]),
]
BLOCKS_EACH, BLOCKS_ONCE = 3, 4000
BYTES_ONCE = 8 << 20
FEW = 2


@dataclass(slots=True)
class Soak:
    """An operator, and the jobs that come and go."""

    cluster: Cluster
    namespace: str
    operator: OperatorProcess
    probe: Path
    heaviest: int = 0
    """Bytes of all objects of a job, as the operator keeps them."""
    held: list[Holding] = field(default_factory=list)

    def run_wave(self, names: list[str]) -> None:
        """Let jobs come and go, and measure once the operator has forgotten them."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._live, names))
            list(pool.map(self._collect, names))
        assert wait_until(lambda: b"trimtab_job_attempt{" not in self.operator.scrape(), SECONDS)
        assert wait_until(self._is_bare, SECONDS)
        self.rest()

    def rest(self) -> None:
        """Measure once kopf has let go of the objects that it saw, each by a task of its own."""
        most = self.held[0].tasks + FEW if self.held else 0
        found: list[Holding] = []

        def is_at_rest() -> bool:
            found.append(read_probe(self.probe))
            still = found[-4:]
            return (
                len(still) == 4
                and len({one.tasks for one in still}) == 1
                and (not most or still[0].tasks <= most)
            )

        import time

        def slow():
            time.sleep(0.5)
            return is_at_rest()

        assert wait_until(slow, SECONDS), found
        self.held.append(found[-1])

    def list_children(self) -> list[str]:
        """Return what the operator made and what is still there."""
        labels = "app.kubernetes.io/managed-by=trimtab-operator"
        return [
            f"{kind} {child['metadata']['name']}"
            for kind in CHILD_KINDS
            for child in self.cluster.api.list(kind, self.namespace, labels)
        ]

    def _is_bare(self) -> bool:
        return not self.list_children()

    def _live(self, name: str) -> None:
        job = WatchedJob.create(self.cluster, make_job(self.namespace, name))
        if not name.endswith("7"):  # those are deleted while the operator sets them up
            job.wait(lambda: job.rayjob() is not None, SECONDS)
            job.play_start()
            job.report(stage="search", trials={"total": 4, "succeeded": 1})
            job.wait(lambda: job.status().get("trials", {}).get("succeeded") == 1, SECONDS)
            self._check(job)
        self.cluster.api.delete("OptimizationJob", name, self.namespace)

    def _check(self, job: WatchedJob) -> None:
        owner, children = job.read(), list(job.children().values())
        for child in children:
            (reference,) = child["metadata"]["ownerReferences"]
            assert reference["uid"] == owner["metadata"]["uid"]
        packed = [zlib.compress(json.dumps(one).encode()) for one in (owner, *children)]
        self.heaviest = max(self.heaviest, sum(map(len, packed)))

    def _collect(self, name: str) -> None:
        """Play the garbage collector: what the operator still makes for a job that is gone, too."""

        def is_gone() -> bool:
            children = WatchedJob(self.cluster, self.namespace, name).children()
            for kind, child in children:
                try:
                    self.cluster.api.delete(kind, child, self.namespace)
                except ApiRefusedError as error:
                    if error.code != 404:
                        raise
            return not children

        assert wait_until(is_gone, SECONDS)


@pytest.fixture
def soak(ray_api_server: Cluster, make_namespace: NamespaceMaker, tmp_path: Path) -> Iterator[Soak]:
    probe = tmp_path / "probe"
    operator = OperatorProcess(
        kubeconfig=install_rights(ray_api_server),
        log=tmp_path / "operator.log",
        module="probed_operator",
        settings={PROBE_VARIABLE: str(probe)},
    )
    operator.start()
    try:
        yield Soak(ray_api_server, make_namespace(ray_api_server), operator, probe)
    finally:
        operator.kill()


def tell(soak: Soak, cycles: int) -> str:
    """Return the figures of a run, for docs/campaigns.md."""
    first, last = soak.held[len(soak.held) // 4], soak.held[-1]
    return f"{cycles} cycles, {soak.heaviest} bytes a job: {first} … {last}\n"


@pytest.mark.parametrize(("cycles", "at_once"), CYCLES)
def test_f73_jobs_that_come_and_go_leave_nothing(
    soak: Soak, capsys: pytest.CaptureFixture[str], cycles: int, at_once: int
) -> None:
    soak.rest()
    for start in range(0, cycles, at_once):
        soak.run_wave([f"job-{number}" for number in range(start, start + at_once)])
    with capsys.disabled():
        print(tell(soak, cycles))
        print(*soak.held, sep="\n")

    def drift(name: str) -> str:
        return measure_drift([getattr(one, name) for one in soak.held[1:]], every=at_once)

    for name in ("tasks", "threads", "files"):
        assert drift(name).is_flat(each=0, slack=FEW), soak.held
    assert drift("blocks").is_flat(each=BLOCKS_EACH, slack=BLOCKS_ONCE), soak.held
    assert drift("resident").is_flat(each=soak.heaviest, slack=BYTES_ONCE), soak.held
    assert soak.list_children() == []
    assert "Traceback" not in soak.operator.read_log()
