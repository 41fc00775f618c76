"""An operator whose clock is wrong by ten minutes keeps all deadlines, by the API server's clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.fixtures import NamespaceMaker
from cluster.played_ray import PlayedRay
from cluster.watched_job import make_job
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_f14_a_wrong_clock_of_the_operator_moves_no_deadline(
    ray_api_server: Cluster, tmp_path: Path, make_namespace: NamespaceMaker, minutes: int
) -> None:
    ray = PlayedRay(ray_api_server, make_namespace(ray_api_server), starts=False)
    deadlines = {"preRunningDeadlineSeconds": 120, "activeDeadlineSeconds": 300}
    with (
        ChaosProxy(ray_api_server, ahead=timedelta(minutes=minutes)) as proxy,
        operator_behind(proxy, tmp_path),
    ):
        ray.cluster.api.create(make_job(ray.namespace, **deadlines))
        assert ray.wait(lambda: ray.says("ClusterReady") == "False/Provisioning")
        ray.starts = True
        assert ray.wait(lambda: ray.read_status().get("state") == "Running")
        ray.succeeds = True
        assert ray.wait(lambda: ray.says("Complete") == "True/Finished"), ray.read_status()
    status = ray.read_status()
    assert status["attempt"] == 1
    assert status.get("activeSeconds", 0) >= 0
    moments = [status["startTime"], status["completionTime"]]
    moments += [entry["lastTransitionTime"] for entry in status["conditions"]]
    now = datetime.now(UTC)
    # Stamps are of the time that the server has.
    assert all(abs(now - datetime.fromisoformat(stamp)) < timedelta(minutes=5) for stamp in moments)
    assert status["startTime"] <= status["completionTime"]
