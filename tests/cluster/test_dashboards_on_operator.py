"""Every query of the dashboards and alerts, asked of a real Prometheus that scrapes a real operator."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.errors import ClusterStartError
from cluster.faults import Answer, Fault, has_path
from cluster.kinds import CHILD_KINDS
from cluster.processes import wait_until
from cluster.prometheus import SCRAPE_JOB, PrometheusServer, running_prometheus
from cluster.watched_job import WatchedJob, make_job
from dashboard_pictures import draw_pictures
from dashboards import (
    RULES,
    Panel,
    Seen,
    Span,
    has_data,
    list_alerts,
    list_before_or,
    list_boards,
    list_panels,
    list_variables,
)
from metrics_builder import make_full_report
from operator_process import PATIENT, operator_behind
from trimtab_api.progress import OutcomeResult
from trimtab_api.stages import STAGE_ORDER
from trimtab_api.v1alpha1.conditions import FailedReason

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 90.0
JOB = "digits"
LIMITS = [
    {"metric": "accuracy", "maxDrop": 0.01},
    {"metric": "speedup", "target": "edge", "min": 1.5},
]


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus, and what it has been seeing since a moment."""

    server: PrometheusServer
    namespace: str
    start: float

    @property
    def seen(self) -> Seen:
        """What it saw until now."""
        return Seen(Span(self.start, time.time()), self.namespace, JOB)


def start_job(cluster: Cluster, namespace: str, name: str) -> WatchedJob:
    targets = [{"name": "edge", "profile": "cpu-edge"}]
    manifest = make_job(namespace, name, targets=targets, constraints=LIMITS)
    job = WatchedJob.create(cluster, manifest)
    job.wait(lambda: job.rayjob() is not None, SECONDS)
    job.play(
        jobDeploymentStatus="Running",
        jobStatus="RUNNING",
        rayClusterName=f"{name}-a1-x",
        rayClusterStatus={"desiredWorkerReplicas": 2, "availableWorkerReplicas": 2},
    )
    return job


def make_driver_report() -> dict[str, object]:
    """Return all that a driver can report, without its end and what is of the attempt."""
    report = make_full_report()
    stages = {"stage_seconds": dict.fromkeys(STAGE_ORDER, 7.0)}
    report = report.model_copy(update={"counters": report.counters.model_copy(update=stages)})
    own = {"schema_version", "uid", "attempt", "sequence", "outcome"}
    return report.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=own)


def play(cluster: Cluster, server: PrometheusServer, namespace: str) -> None:
    """Run a job to its end and fail one, while a third waits, and look at each."""
    good = start_job(cluster, namespace, JOB)
    bad = start_job(cluster, namespace, "broken")
    WatchedJob.create(cluster, make_job(namespace, "waiting"))
    good.report(sequence=1, **make_driver_report())
    wait_for(server, "trimtab_pareto_hypervolume")
    wait_for(server, "trimtab_reconcile_errors_total")
    good.end(sequence=2, **make_driver_report())
    bad.end(result=OutcomeResult.FAILED, reason=FailedReason.USER_ERROR, message="no")
    wait_for(server, "trimtab_result_metric")
    wait_for(server, 'trimtab_jobs{state="Failed"} == 1')
    # A rate needs samples on both sides of what it counts.
    wait_for(server, "rate(trimtab_reconcile_errors_total[1m])")


@pytest.fixture(scope="module")
def watched(ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """What Prometheus saw of three jobs and of passes that failed."""
    folder, namespace = tmp_path_factory.mktemp("dashboards"), "watched"
    metadata = {"name": namespace}
    api = ray_api_server.api
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    with (
        ChaosProxy(ray_api_server) as proxy,
        operator_behind(proxy, folder, time_factor=PATIENT) as operator,
    ):
        proxy.add(Fault(has_path("/status", "PATCH"), Answer(503), times=2))
        with running_prometheus(folder / "prometheus", operator.metrics_address, RULES) as server:
            start = time.time()
            play(ray_api_server, server, namespace)
            yield Watched(server, namespace, start)
    for kind in ("OptimizationJob", *CHILD_KINDS):
        api.delete_all(kind, namespace)


def wait_for(server: PrometheusServer, expression: str) -> None:
    assert wait_until(lambda: bool(server.ask(expression)), SECONDS), expression


@pytest.mark.parametrize("panel", list_panels(), ids=lambda panel: f"{panel.board}: {panel.title}")
def test_each_query_of_a_panel_has_data(watched: Watched, panel: Panel) -> None:
    for target in panel.targets:
        expression = watched.seen.fill(panel.board, target.expression)
        assert wait_until(
            lambda asked=expression: has_data(watched.server, asked, watched.seen.span), 20
        ), expression


@pytest.mark.parametrize(
    "panel",
    [one for one in list_panels() if any(" or " in target.expression for target in one.targets)],
    ids=lambda panel: f"{panel.board}: {panel.title}",
)
def test_a_query_with_a_value_for_want_of_data_has_data_without_it(
    watched: Watched, panel: Panel
) -> None:
    """A zero that stands in for GPUs that there are not would hide a metric that there is not."""
    for target in panel.targets:
        expression = watched.seen.fill(panel.board, target.expression)
        for measured in list_before_or(expression):
            assert wait_until(
                lambda asked=measured: has_data(watched.server, asked, watched.seen.span), 20
            ), measured


@pytest.mark.parametrize("board", list_boards())
def test_each_variable_has_values(watched: Watched, board: str) -> None:
    for query in list_variables(board).values():
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found is not None
        values = watched.server.list_values(found[2], watched.seen.fill(board, found[1]))
        assert {"job_namespace": watched.namespace, "job_name": JOB}[found[2]] in values


@pytest.mark.parametrize("alert", list_alerts(), ids=lambda alert: alert["alert"])
def test_prometheus_evaluates_each_alert(watched: Watched, alert: dict[str, Any]) -> None:
    watched.server.ask(alert["expr"])
    rule = watched.server.list_rules()[alert["alert"]]
    assert rule["health"] == "ok", rule


def test_what_went_wrong_raises_its_alerts_and_nothing_else(watched: Watched) -> None:
    def list_firing() -> set[str]:
        rules = watched.server.list_rules()
        return {name for name, rule in rules.items() if rule["state"] == "firing"}

    assert wait_until(
        lambda: list_firing() == {"TrimtabJobFailed", "TrimtabConstraintMissed"}, SECONDS
    ), list_firing()


def test_prometheus_scrapes_the_operator_without_an_error(watched: Watched) -> None:
    def is_up() -> bool:
        (target,) = watched.server.list_targets()
        return (target["health"], target["lastError"]) == ("up", "")

    assert wait_until(is_up, SECONDS), watched.server.list_targets()
    (target,) = watched.server.list_targets()
    assert target["labels"]["job"] == SCRAPE_JOB


def test_an_address_elsewhere_is_not_scraped(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterStartError, match="is not on this machine"),
        running_prometheus(tmp_path, ("192.0.2.1", 8081), RULES),
    ):
        pass


def test_the_dashboards_can_be_drawn(watched: Watched, tmp_path: Path) -> None:
    files = draw_pictures(watched.server, watched.seen, tmp_path)
    assert [path.stem.removeprefix("dashboard-") for path in files] == list(list_boards())
    for path in files:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert 20_000 < path.stat().st_size < 300_000
