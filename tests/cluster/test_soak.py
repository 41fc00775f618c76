"""Jobs that come and go for a long time leave nothing in the operator, and nothing behind."""

import json
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import probed_operator
from cluster.access import Cluster
from cluster.api import ApiRefusedError
from cluster.fixtures import NamespaceMaker
from cluster.kinds import CHILD_KINDS
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from flatness import Allowance, list_growing
from operator_process import OperatorProcess, install_rights
from probed_operator import PROBE_VARIABLE, Holding, read_probe

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 120.0
CYCLES = [
    pytest.param(50, 5, id="50"),
    pytest.param(2000, 50, id="2000", marks=[pytest.mark.campaign, pytest.mark.timeout(7200)]),
]
WARM = 40
"""Jobs after which pools and caches of libraries are full."""
FEW = Allowance(each=0, once=2)
BLOCKS = Allowance(each=10, once=500)
"""A job that is forgotten by the caches, but not by the reconciler, takes 40."""
BYTES_ONCE = 8 << 20
"""What an allocator keeps is not all in use."""


@dataclass(slots=True)
class Soak:
    """An operator, and the jobs that come and go."""

    cluster: Cluster
    namespace: str
    operator: OperatorProcess
    probe: Path
    tasks: int = 0
    """Of an operator that has nothing to do."""
    heaviest: int = 0
    """Bytes of a job and its children, packed as the operator keeps them."""
    held: list[Holding] = field(default_factory=list)

    def run_wave(self, names: list[str]) -> Holding:
        """Let jobs come and go, and return what is held once the operator is at rest."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._live, names))
            list(pool.map(self._collect, names))
        assert wait_until(lambda: b"trimtab_job_attempt{" not in self.operator.scrape(), SECONDS)
        assert wait_until(lambda: not self.list_children(), SECONDS)
        return self.rest()

    def rest(self) -> Holding:
        """Wait until kopf let go of the objects that it saw, each by a task of its own.

        What comes and goes with a comparison or a scrape is left out: the least of some looks counts.
        """
        found: list[Holding] = []

        def is_at_rest() -> bool:
            time.sleep(0.5)
            found.append(read_probe(self.probe))
            last = {one.tasks for one in found[-4:]}
            most = self.tasks + FEW.once if self.tasks else max(last)
            return len(found) >= 4 and len(last) == 1 and max(last) <= most

        assert wait_until(is_at_rest, SECONDS), found[-4:]
        return min(found[-4:], key=lambda one: one.blocks)

    def list_children(self) -> list[str]:
        """Return what the operator made and what is still there."""
        labels = "app.kubernetes.io/managed-by=trimtab-operator"
        return [
            f"{kind} {child['metadata']['name']}"
            for kind in CHILD_KINDS
            for child in self.cluster.api.list(kind, self.namespace, labels)
        ]

    def _live(self, name: str) -> None:
        job = WatchedJob.create(self.cluster, make_job(self.namespace, name))
        if not name.endswith("7"):  # those are deleted while the operator sets them up
            job.wait(lambda: job.rayjob() is not None, SECONDS)
            job.play_start()
            job.report(stage="search", trials={"total": 4, "succeeded": 1})
            job.wait(lambda: job.status().get("trials", {}).get("succeeded") == 1, SECONDS)
            self._weigh(job)
        self.cluster.api.delete("OptimizationJob", name, self.namespace)

    def _weigh(self, job: WatchedJob) -> None:
        owner, children = job.read(), list(job.children().values())
        for child in children:
            (reference,) = child["metadata"]["ownerReferences"]
            assert reference["uid"] == owner["metadata"]["uid"]
        packed = [zlib.compress(json.dumps(one).encode()) for one in (owner, *children)]
        self.heaviest = max(self.heaviest, sum(map(len, packed)))

    def _collect(self, name: str) -> None:
        """Play the garbage collector, also of what the operator makes while a job goes."""
        job = WatchedJob(self.cluster, self.namespace, name)

        def is_gone() -> bool:
            children = job.children()
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
        settings={
            PROBE_VARIABLE: str(probe),
            "PYTHONPATH": str(Path(probed_operator.__file__).parent),
        },
    )
    operator.start()
    try:
        yield Soak(ray_api_server, make_namespace(ray_api_server), operator, probe)
    finally:
        operator.kill()


def read_series(held: list[Holding]) -> dict[str, list[float]]:
    return {name: [getattr(one, name) for one in held] for name in Holding.__slots__}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("cycles", "at_once"), CYCLES)
def test_f73_jobs_that_come_and_go_leave_nothing(
    soak: Soak, capsys: pytest.CaptureFixture[str], cycles: int, at_once: int
) -> None:
    soak.tasks = soak.rest().tasks
    soak.run_wave([f"warm-{number}" for number in range(WARM)])
    for start in range(0, cycles, at_once):
        names = [f"job-{number}" for number in range(start, start + at_once)]
        soak.held.append(soak.run_wave(names))
    with capsys.disabled():
        sys.stdout.write(f"\n{cycles} cycles, {soak.heaviest} bytes a job\n")
        sys.stdout.writelines(f"{one}\n" for one in soak.held)
    allowed = {
        "blocks": BLOCKS,
        "resident": Allowance(each=soak.heaviest, once=BYTES_ONCE),
        "tasks": FEW,
        "threads": FEW,
        "files": FEW,
    }
    assert list_growing(read_series(soak.held), allowed, every=at_once) == []
    assert soak.list_children() == []
    assert "Traceback" not in soak.operator.read_log()
