"""The operator process counts a report once, never goes backwards, and gives up a silent driver."""

import itertools
import json
from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.watched_job import WatchedJob, make_job
from operator_process import HASTY, OperatorProcess, running_operator

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

TRIALS = {"summary": "3/4", "total": 4, "succeeded": 3}
OLD_TRIALS = {"summary": "1/4", "total": 4, "succeeded": 1}
MEGABYTE = "x" * (2**20 - 1000)


@pytest.fixture(scope="module")
def operator(
    ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """One that does not call drivers silent which report now and then."""
    folder = tmp_path_factory.mktemp("operator")
    with running_operator(ray_api_server, folder, 2 * HASTY) as operator:
        yield operator
    assert "Traceback" not in operator.read_log()


@pytest.fixture
def job(
    ray_api_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> WatchedJob:
    """A job whose driver has reported three trials as its fifth report."""
    job = WatchedJob.create(ray_api_server, make_job(make_namespace(ray_api_server)))
    job.wait_for_attempt(1)
    job.play_start()
    job.report(sequence=5, trials=TRIALS)
    job.wait(lambda: job.status().get("trials", {}).get("summary") == "3/4")
    return job


GARBLED = {
    "not-json": "{",
    "not-an-object": "[1, 2]",
    "nan": '{"schema": 1, "uid": "u", "attempt": 1, "sequence": NaN}',
    "another-version": '{"schema": 99, "uid": "u", "attempt": 1, "sequence": 6}',
    "without-fields": "{}",
    "control-characters": '{"schema": 1, "uid": "\\u0000\\u001b[2J", "attempt": 1}',
    "past-the-bound": json.dumps({"schema": 1, "message": "x" * 40_000}),
    "a-megabyte": json.dumps({"message": MEGABYTE}),
}


def test_f43_f44_a_report_that_cannot_be_read_leaves_the_last_figures(
    job: WatchedJob, operator: OperatorProcess
) -> None:
    for number, text in enumerate(GARBLED.values()):
        job.write_report(text)
        job.wait_for("Degraded", "True/ReportInvalid")
        status = job.status()
        assert status["trials"]["summary"] == "3/4"
        assert all(character >= " " for character in job.words("Degraded"))
        job.report(sequence=10 + number, trials=TRIALS)
        job.wait_for("Degraded", "False/Recovered")
    job.write_report(GARBLED["a-megabyte"])
    job.wait(lambda: str(len(GARBLED["a-megabyte"])) in job.words("Degraded"))


STALE = {
    "lower-sequence": {"sequence": 4},
    "same-sequence": {"sequence": 5},
    "later-attempt": {"attempt": 7, "sequence": 6},
    "other-job": {"uid": "7b0e4c0e-3f5e-4a43-9a3e-2f1f6f0f3a55", "sequence": 6},
}


@pytest.mark.parametrize("fields", STALE.values(), ids=STALE)
def test_f45_a_report_that_is_not_new_is_dropped_and_told_once(
    job: WatchedJob, fields: dict[str, object]
) -> None:
    attempt, sequence = int(str(fields.get("attempt", 1))), int(str(fields["sequence"]))
    rest = {"uid": fields["uid"]} if "uid" in fields else {}
    for _ in range(2):
        job.report(attempt, sequence=sequence, trials=OLD_TRIALS, **rest)
        job.wait(lambda: len(job.wait_for_events("ReportStale")) == 1)
        assert job.status()["trials"]["summary"] == "3/4"
    job.report(sequence=6, trials={**TRIALS, "summary": "4/4", "succeeded": 4})
    job.wait(lambda: job.status()["trials"]["summary"] == "4/4")
    assert len(job.wait_for_events("ReportStale")) == 1
    assert job.said("Degraded") == ""


def test_f45_a_report_of_an_older_attempt_never_comes_back(job: WatchedJob) -> None:
    job.cluster.api.delete("RayJob", "digits-a1", job.namespace)
    job.wait_for_attempt(2)
    job.play_start(2)
    job.report(2, sequence=1, trials={**TRIALS, "summary": "4/4", "succeeded": 4})
    job.wait(lambda: job.status()["trials"]["summary"] == "4/4")
    job.report(1, sequence=900, trials=OLD_TRIALS)
    job.wait(lambda: len(job.wait_for_events("ReportStale")) == 1)
    assert job.status()["trials"]["summary"] == "4/4"
    assert job.status()["attempt"] == 2


def test_a_map_that_had_entries_may_become_empty(job: WatchedJob) -> None:
    budget = {"metric": "accuracy", "allowed": 0.02, "resolution": 0.001, "remaining": 0.02}
    job.report(sequence=6, trials=TRIALS, budget={**budget, "spent": {"prune": 0.01}})
    job.wait(lambda: job.status().get("budget", {}).get("spent") == {"prune": 0.01})
    done = {**TRIALS, "summary": "4/4", "succeeded": 4}
    job.report(sequence=7, trials=done, budget={**budget, "spent": {}})
    job.wait(lambda: job.status()["trials"]["summary"] == "4/4")
    assert not job.status()["budget"].get("spent")


@pytest.mark.parametrize("time", ["1990-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "yesterday"])
def test_f45_the_time_of_a_report_changes_nothing(job: WatchedJob, time: str) -> None:
    job.report(sequence=6, time=time, trials={**TRIALS, "summary": "4/4", "succeeded": 4})
    job.wait(lambda: job.status()["trials"]["summary"] == "4/4")
    assert job.said("Degraded") == ""
    assert job.events("ReportStale") == []
    assert job.status()["attempt"] == 1


@pytest.fixture
def hasty(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The same operator, for which a minute is less than a second."""
    usual = operator.time_factor
    operator.stop()
    operator.time_factor = 0.01
    operator.start()
    yield operator
    operator.stop()
    operator.time_factor = usual
    operator.start()


@pytest.mark.usefixtures("hasty")
def test_f47_a_silent_driver_is_called_stalled_and_then_replaced(job: WatchedJob) -> None:
    job.wait_for("Degraded", "True/DriverStalled")
    sequence = itertools.count(6)

    def is_recovered() -> bool:
        job.report(sequence=next(sequence), trials=TRIALS)
        return job.said("Degraded") == "False/Recovered"

    job.wait(is_recovered)
    job.wait_for("Degraded", "True/DriverStalled")
    job.wait_for_attempt(2)
    # Nobody is KubeRay here, and its silence would degrade the job again.
    job.play(2, jobDeploymentStatus="Initializing")
    assert job.rayjob(1) is None
    assert [message for message in job.wait_for_events("ClusterFailed") if "Stalled" in message]
    job.wait_for("Degraded", "False/Recovered")
    assert job.status()["trials"]["summary"] == "3/4"
