"""Two operators at once, as in a roll-out that went wrong: they agree, and one of them is enough."""

from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.faults import writes_in
from cluster.fixtures import NamespaceMaker
from cluster.job_scripts import SCRIPTS
from cluster.operator_stage import Stage
from cluster.played_ray import PlayedRay
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

RESUME = "suspend and resume"


def test_f11_two_operators_make_everything_once_and_then_write_nothing(
    ray_api_server: Cluster, tmp_path: Path, make_namespace: NamespaceMaker
) -> None:
    ray = PlayedRay(ray_api_server, make_namespace(ray_api_server))
    alone = PlayedRay(ray_api_server, make_namespace(ray_api_server))
    with (
        ChaosProxy(ray_api_server) as first,
        ChaosProxy(ray_api_server) as second,
        operator_behind(first, tmp_path, "first") as operator,
    ):
        stage = Stage(ray_api_server, first, operator)
        reference = stage.prepare(RESUME, make_namespace(ray_api_server))
        with operator_behind(second, tmp_path, "second"):
            SCRIPTS[RESUME](ray)
            assert stage.find_differences(RESUME, ray) == ()
            written = count_writes(first, second, ray)
            assert written <= 3 * reference.writes
            # The last figures may come late. Then, over several resyncs of both, nothing is written.
            assert any(is_quiet(first, second, ray) for _ in range(3))
            operator.kill()
            SCRIPTS[RESUME](alone)
            assert stage.find_differences(RESUME, alone) == ()


def is_quiet(first: ChaosProxy, second: ChaosProxy, ray: PlayedRay) -> bool:
    """Return whether several resyncs pass without a write."""
    written, resyncs = count_writes(first, second, ray), count_lists(second) + 6
    assert ray.wait(lambda: count_lists(second) > resyncs)
    return count_writes(first, second, ray) == written


def count_writes(first: ChaosProxy, second: ChaosProxy, ray: PlayedRay) -> int:
    chosen = writes_in(ray.namespace)
    return first.count_writes(chosen) + second.count_writes(chosen)


def count_lists(proxy: ChaosProxy) -> int:
    """Return how often all RayJobs were listed."""
    return sum(
        seen.path == "/apis/ray.io/v1/rayjobs" and not seen.is_watch
        for seen in list(proxy.requests)
    )
