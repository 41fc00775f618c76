"""Lost, old and broken answers between the operator and the API server: the job ends as without."""

import random
from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.faults import (
    Answer,
    Fault,
    Loss,
    Replay,
    Seen,
    drop,
    drop_news,
    fail_once,
    has_path,
    is_write,
    writes_in,
)
from cluster.fixtures import NamespaceMaker
from cluster.job_scripts import SCRIPTS
from cluster.operator_stage import Stage
from cluster.played_ray import PlayedRay
from cluster.processes import wait_until
from cluster.watched_job import make_job
from operator_process import operator_behind

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

FINISH, RESUME = "create and finish", "suspend and resume"
SECONDS = 40.0
SEED = 8
RAYJOBS = "/apis/ray.io/v1/rayjobs"


@pytest.fixture(scope="module")
def shared_stage(
    ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("faults")
    with ChaosProxy(ray_api_server) as proxy, operator_behind(proxy, folder) as operator:
        yield Stage(ray_api_server, proxy, operator)


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """The one operator, without faults at the start; it must have lived through the test."""
    shared_stage.proxy.heal()
    pid = shared_stage.operator.pid
    yield shared_stage
    shared_stage.proxy.heal()
    assert shared_stage.operator.pid == pid


@pytest.fixture
def ray(stage: Stage, make_namespace: NamespaceMaker) -> Iterator[PlayedRay]:
    ray = PlayedRay(stage.cluster, make_namespace(stage.cluster))
    yield ray
    ray.delete_job()
    ray.play()


def run(ray: PlayedRay) -> None:
    """Let a job come to run."""
    ray.cluster.api.create(make_job(ray.namespace))
    assert ray.wait(lambda: ray.read_status().get("state") == "Running"), ray.read_status()


def count_watches(stage: Stage, part: str) -> int:
    return sum(seen.is_watch and part in seen.path for seen in list(stage.proxy.requests))


@pytest.mark.parametrize("part", ["/optimizationjobs", "/rayjobs", "/configmaps", "/"])
def test_f02_events_that_never_come_cost_a_resync_and_nothing_more(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay, part: str
) -> None:
    stage.prepare(FINISH, make_namespace(stage.cluster))
    stage.proxy.change_events(part, drop_news)
    SCRIPTS[FINISH](ray)
    assert stage.find_differences(FINISH, ray) == ()


def test_f03_old_events_make_and_delete_nothing(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    stage.prepare(RESUME, make_namespace(stage.cluster))
    stage.proxy.change_events("/", Replay())
    SCRIPTS[RESUME](ray)
    assert stage.find_differences(RESUME, ray) == ()
    deletions = stage.list_preconditions(ray.namespace)
    assert deletions
    assert all(named == {"uid", "resourceVersion"} for named in deletions)


def test_f05_an_api_server_that_is_away_ends_nothing(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    run(ray)
    before = stage.cluster.api.get("RayJob", "digits-a1", ray.namespace)["metadata"]
    late = PlayedRay(stage.cluster, make_namespace(stage.cluster))
    stage.start_outage()
    stage.cluster.api.create(make_job(late.namespace))
    asked = len(stage.proxy.requests)
    assert ray.wait(lambda: len(stage.proxy.requests) > asked + 20, SECONDS)
    assert not late.read_children()
    stage.proxy.heal()

    def is_running() -> bool:
        ray.play()
        return late.read_status().get("state") == "Running"

    assert late.wait(is_running, SECONDS)
    after = stage.cluster.api.get("RayJob", "digits-a1", ray.namespace)["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])
    assert ray.read_status()["attempt"] == 1


@pytest.mark.campaign
def test_f05_campaign_of_an_outage_of_two_minutes(stage: Stage, ray: PlayedRay) -> None:
    run(ray)
    stage.start_outage()
    wait_until(lambda: stage.operator.pid is None, 130)
    stage.proxy.heal()
    ray.succeeds = True
    assert ray.wait(lambda: ray.says("Complete") == "True/Finished", SECONDS)
    assert ray.read_status()["attempt"] == 1


def test_f06_a_silent_watch_is_opened_anew_and_red_where_it_stays_silent(
    stage: Stage, ray: PlayedRay
) -> None:
    run(ray)
    watches = count_watches(stage, RAYJOBS)
    stage.proxy.change_events(RAYJOBS, drop)
    assert ray.wait(lambda: count_watches(stage, RAYJOBS) > watches, SECONDS)

    def touch() -> bool:
        label = {"metadata": {"labels": {"touched": str(random.random())}}}
        stage.cluster.api.patch("RayJob", "digits-a1", label, ray.namespace)
        return not stage.operator.is_healthy()

    assert ray.wait(touch, SECONDS)
    stage.proxy.heal()
    assert ray.wait(lambda: not touch(), SECONDS)


@pytest.mark.parametrize("code", [410, 500])
def test_f07_an_error_in_a_watch_loses_no_object(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay, code: int
) -> None:
    stage.prepare(FINISH, make_namespace(stage.cluster))
    watches = count_watches(stage, RAYJOBS)
    stage.proxy.change_events(RAYJOBS, fail_once(code))
    SCRIPTS[FINISH](ray)
    assert stage.find_differences(FINISH, ray) == ()
    assert ray.wait(lambda: count_watches(stage, RAYJOBS) > watches, SECONDS)


def test_f07_a_list_whose_next_page_has_expired_is_read_again(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    stage.prepare(FINISH, make_namespace(stage.cluster))
    stage.proxy.page = 1
    expired = Answer(410, "Expired")
    stage.proxy.add(Fault(lambda seen: "continue" in seen.query, expired, times=3))
    # An ERROR makes kopf list everything anew; the resync lists all the time.
    stage.proxy.change_events(RAYJOBS, fail_once(500))
    SCRIPTS[FINISH](ray)
    assert stage.find_differences(FINISH, ray) == ()
    assert any("continue" in seen.query for seen in stage.proxy.requests)


def test_f08_a_fifth_of_all_calls_fails_and_the_job_ends_alike(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    reference = stage.prepare(FINISH, make_namespace(stage.cluster))
    stage.proxy.requests.clear()
    add_weather(stage, random.Random(SEED))
    SCRIPTS[FINISH](ray)
    assert ray.wait(lambda: ray.says("Degraded") in {"", "False/Recovered"})
    stage.proxy.heal()
    final = {key: read for key, read in reference.final.items() if key != "OptimizationJob"}
    differences = stage.find_differences(FINISH, ray)
    # The job tells that it was degraded for a moment.
    assert [line for line in differences if not line.startswith("OptimizationJob ")] == []
    assert final
    written = stage.proxy.count_writes(writes_in(ray.namespace))
    assert written < 6 * reference.writes


def add_weather(stage: Stage, chance: random.Random) -> None:
    """Let one call in five fail, each kind of failure as often as another."""
    answers: list[Answer | Loss] = [
        Answer(429, "TooManyRequests", {"Retry-After": "1"}),
        Answer(500, "InternalError"),
        Answer(503, "ServiceUnavailable"),
        Answer(504, "Timeout"),
        Answer(409, "Conflict"),
        Answer(422, "Invalid"),
        Loss.REQUEST,
        Loss.ANSWER,
    ]
    for effect in answers:
        stage.proxy.add(
            Fault(lambda seen: not seen.is_watch and chance.random() < 0.027, effect, times=None)
        )


def test_f08_a_job_is_left_alone_for_as_long_as_the_server_asks(
    stage: Stage, ray: PlayedRay
) -> None:
    busy = Answer(429, "TooManyRequests", {"Retry-After": "3"})
    stage.proxy.add(Fault(writes_in(ray.namespace), busy))
    run(ray)
    asked = [seen for seen in stage.proxy.requests if is_about(seen, ray)]
    first, second = [seen.at for seen in asked if is_write(seen)][:2]
    assert second - first >= 3.0


def is_about(seen: Seen, ray: PlayedRay) -> bool:
    return f"/namespaces/{ray.namespace}/" in seen.path


def test_f15_a_job_that_always_fails_holds_no_other_up(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    stage.prepare(FINISH, make_namespace(stage.cluster))
    broken = PlayedRay(stage.cluster, make_namespace(stage.cluster))
    path = f"/namespaces/{broken.namespace}/rayjobs"
    stage.proxy.add(Fault(has_path(path, "PATCH"), Answer(422, "Invalid"), times=None))
    stage.cluster.api.create(make_job(broken.namespace))
    assert broken.wait(lambda: broken.says("Degraded") != "" or broken.says("Scheduled") != "")
    SCRIPTS[FINISH](ray)
    assert stage.find_differences(FINISH, ray) == ()
    tries = stage.proxy.count_writes(has_path(path, "PATCH"))
    assert broken.wait(lambda: stage.proxy.count_writes(has_path(path, "PATCH")) > tries)
    told: dict[str, list[str]] = {}
    for event in stage.cluster.api.list("Event", broken.namespace):
        told.setdefault(event["reason"], []).append(event["firstTimestamp"])
    # Five minutes are fifteen seconds here: two in a row are at least so far apart.
    assert all(len(stamps) <= 1 + tries // 3 for stamps in told.values()), told
