"""Many jobs that report without pause cost few writes each, and all are right after a restart."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.chaosproxy import ChaosProxy
from cluster.faults import Seen
from cluster.fixtures import NamespaceMaker
from cluster.operator_stage import Stage
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

REPORTS = 4
TRIALS = 10_000
MANY = [
    pytest.param(50, id="50"),
    pytest.param(500, id="500", marks=[pytest.mark.campaign, pytest.mark.timeout(3600)]),
]
LEAST_SECONDS = 15.0
MOST_BYTES = 32 * 1024


@pytest.fixture(scope="module")
def stage(ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An operator with the times of production."""
    folder = tmp_path_factory.mktemp("scale")
    real = {"TRIMTAB_OPERATOR_TIME_FACTOR": "1"}
    with (
        ChaosProxy(ray_api_server) as proxy,
        operator_behind(proxy, folder, **real) as operator,
    ):
        yield Stage(ray_api_server, proxy, operator)


def report(job: WatchedJob, number: int) -> None:
    """Report as a driver with many trials does, whose report is as long as may be."""
    parameters = [{"name": f"p{index}", "value": "x" * 100} for index in range(32)]
    best = {"trial": number, "value": 0.5, "parameters": parameters, "metrics": {"accuracy": 0.5}}
    trials = {"total": TRIALS, "succeeded": number, "running": 2}
    job.report(sequence=number, stage="search", trials=trials, best=best)


def read_turn(seen: Seen) -> str:
    """Return what of a status may be written at once: state, stage and conditions."""
    _, change = json.loads(seen.body)
    status = change["value"]
    conditions = [(one["type"], one["status"], one["reason"]) for one in status["conditions"]]
    return json.dumps([status.get("state"), status.get("stage"), sorted(conditions)])


def find_hasty(stage: Stage, namespace: str) -> list[str]:
    """Return the jobs of which a status was written again too early and with no turn."""
    writes = defaultdict[str, list[Seen]](list)
    for seen in stage.proxy.requests:
        if f"/{namespace}/optimizationjobs/" in seen.path and seen.path.endswith("/status"):
            writes[seen.path.split("/")[-2]].append(seen)
    assert writes
    return [
        name
        for name, seen in writes.items()
        if any(
            read_turn(one) == read_turn(other) and other.at - one.at < 0.95 * LEAST_SECONDS
            for one, other in itertools.pairwise(seen)
        )
    ]


def is_told(job: WatchedJob, trials: int) -> bool:
    status = job.status()
    told = status.get("trials", {}).get("succeeded")
    return bool(status.get("state") == "Running" and told == trials)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("many", MANY)
def test_f72_many_jobs_cost_few_writes_each_and_are_right_after_a_restart(
    stage: Stage, make_namespace: NamespaceMaker, many: int
) -> None:
    namespace = make_namespace(stage.cluster)
    names = [f"job-{number}" for number in range(many)]
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(
            lambda name: WatchedJob.create(stage.cluster, make_job(namespace, name)), names
        )
        jobs = list(made)
        seconds = 60.0 + many
        for job in jobs:
            job.wait(lambda job=job: job.rayjob() is not None, seconds)
        list(pool.map(WatchedJob.play_start, jobs))
        for number in range(1, REPORTS + 1):
            list(pool.map(lambda job, number=number: report(job, number), jobs))
        for job in jobs:
            job.wait(lambda job=job: is_told(job, REPORTS), seconds)
        assert find_hasty(stage, namespace) == []

        before = {job.name: read_uid(job) for job in jobs}
        stage.operator.kill()
        list(pool.map(lambda job: report(job, REPORTS + 1), jobs))
        stage.operator.start()
        for job in jobs:
            job.wait(lambda job=job: is_told(job, REPORTS + 1), seconds)
        assert {job.name: read_uid(job) for job in jobs} == before
        assert wait_until(lambda: all(job.status().get("attempt") == 1 for job in jobs), 1)
        assert max(measure(job.read()) for job in jobs) <= MOST_BYTES


def read_uid(job: WatchedJob) -> str:
    rayjob = job.rayjob()
    return rayjob["metadata"]["uid"] if rayjob else ""


def measure(document: Manifest) -> int:
    """Return the size of an object, as it is stored."""
    document["metadata"].pop("managedFields", None)
    return len(json.dumps(document, separators=(",", ":")).encode())
