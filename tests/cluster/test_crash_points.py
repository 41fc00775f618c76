"""Wherever the operator is killed between two writes, jobs end as if it had not been."""

import os
import sys
import time
from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.crash_points import Sample, draw_samples, iterate_points, run_point, run_sample
from cluster.fixtures import NamespaceMaker
from cluster.job_scripts import SCRIPTS
from cluster.operator_stage import Stage
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SEED = int(os.environ.get("TRIMTAB_CAMPAIGN_SEED", "20261124"))
SAMPLE = 6
HOURS_2 = 7200


@pytest.fixture(scope="module")
def stage(ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One operator for all cases: each leaves it alive again."""
    folder = tmp_path_factory.mktemp("crashes")
    with ChaosProxy(ray_api_server) as proxy, operator_behind(proxy, folder) as operator:
        yield Stage(ray_api_server, proxy, operator)


@pytest.mark.parametrize("sample", list(draw_samples(SEED, SAMPLE)), ids=str)
def test_f01_a_killed_operator_goes_on_where_it_was(
    stage: Stage, make_namespace: NamespaceMaker, sample: Sample
) -> None:
    assert run_sample(stage, sample, lambda: make_namespace(stage.cluster)).faults == ()


@pytest.mark.campaign
@pytest.mark.timeout(HOURS_2)
@pytest.mark.parametrize("script", SCRIPTS)
def test_f01_campaign_of_all_crash_points(
    stage: Stage, make_namespace: NamespaceMaker, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    started = time.monotonic()
    reference = stage.prepare(script, make_namespace(stage.cluster))
    points = list(iterate_points({script: reference.writes}))
    outcomes = {point: run_point(stage, point, make_namespace(stage.cluster)) for point in points}
    failed = {str(point): done.faults for point, done in outcomes.items() if done.faults}
    killed = sum(done.killed for done in outcomes.values())
    minutes = (time.monotonic() - started) / 60
    with capsys.disabled():
        sys.stdout.write(
            f"\n| {script} | {reference.writes} | {len(points)} | {killed}"
            f" | {len(points) - len(failed)} | {minutes:.0f} min |\n"
        )
    assert failed == {}
