"""An operator that starts on lists of an API server that lags behind makes and deletes nothing by them."""

from collections.abc import Callable, Iterator

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.chaosproxy import ChaosProxy
from cluster.faults import Answer, Fault, Seen, drop, writes_in
from cluster.fixtures import NamespaceMaker
from cluster.operator_stage import Stage
from cluster.played_ray import PlayedRay
from cluster.watched_job import make_job
from operator_process import operator_behind
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, WATCHED_KINDS

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

ROUNDS = 4
"""One list of the watch, and the others of the resync."""
SECONDS = 40.0

Lists = dict[str, Manifest]


@pytest.fixture(scope="module")
def shared_stage(
    ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("restarts")
    with ChaosProxy(ray_api_server) as proxy, operator_behind(proxy, folder) as operator:
        yield Stage(ray_api_server, proxy, operator)
        assert "Traceback" not in operator.read_log()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    yield shared_stage
    shared_stage.proxy.heal()


@pytest.fixture
def ray(stage: Stage, make_namespace: NamespaceMaker) -> Iterator[PlayedRay]:
    ray = stage.play(make_namespace(stage.cluster))
    yield ray
    ray.delete_job()
    ray.play()


def lists_of(path: str) -> Callable[[Seen], bool]:
    return lambda seen: (seen.method, seen.path, seen.is_watch) == ("GET", path, False)


def take_lists(stage: Stage) -> Lists:
    """Return what the lists of all kinds that the operator watches say now."""
    queries = {kind.path(None): {"labelSelector": kind.selector} for kind in WATCHED_KINDS}
    api = stage.cluster.api
    return {path: api.request("GET", path, query=query) for path, query in queries.items()}


def restart_on(stage: Stage, ray: PlayedRay, lists: Lists) -> list[Seen]:
    """Start the operator anew on old lists, and return what it wrote but for the status.

    No event comes either, so that it knows what it reads one by one and nothing else.
    """
    stage.operator.kill()
    asked = len(stage.proxy.requests)
    stage.proxy.change_events("/", drop)
    for path, old in lists.items():
        stage.proxy.add(Fault(lists_of(path), Answer(200, body=old), times=None))
    stage.operator.start()
    is_round = lists_of(OPTIMIZATION_JOB.path(None))
    assert ray.wait(lambda: sum(map(is_round, stage.proxy.requests[asked:])) >= ROUNDS, SECONDS)
    in_namespace = writes_in(ray.namespace)
    seen_writes = [seen for seen in stage.proxy.requests[asked:] if in_namespace(seen)]
    return [seen for seen in seen_writes if not seen.path.endswith("/digits/status")]


def expect(ray: PlayedRay, kind: str, said: str) -> None:
    assert ray.wait(lambda: ray.says(kind) == said, SECONDS), ray.read_status()


def expect_running(ray: PlayedRay, attempt: int) -> None:
    def runs() -> bool:
        status = ray.read_status()
        return (status.get("state"), status.get("attempt")) == ("Running", attempt)

    assert ray.wait(runs, SECONDS), ray.read_status()


def read_uids(ray: PlayedRay) -> dict[tuple[str, str], str]:
    return {key: child["metadata"]["uid"] for key, child in ray.read_children().items()}


def test_f03_an_attempt_that_no_list_tells_of_goes_on(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    """The lists are from the attempt before, whose RayJob is gone."""
    stage.prepare("suspend and resume", make_namespace(stage.cluster))
    stage.cluster.api.create(make_job(ray.namespace))
    expect_running(ray, attempt=1)
    lists = take_lists(stage)
    ray.edit(suspend=True)
    expect(ray, "Suspended", "True/SuspendedBySpec")
    ray.edit(suspend=False)
    expect_running(ray, attempt=2)
    before = read_uids(ray)
    assert restart_on(stage, ray, lists) == []
    assert read_uids(ray) == before
    stage.proxy.heal()
    ray.succeeds = True
    expect(ray, "Complete", "True/Finished")
    assert stage.find_differences("suspend and resume", ray) == ()
    deletions = stage.list_preconditions(ray.namespace)
    assert deletions
    assert all(named == {"uid", "resourceVersion"} for named in deletions)


def test_f03_a_job_that_was_made_anew_keeps_what_is_its_own(
    stage: Stage, make_namespace: NamespaceMaker, ray: PlayedRay
) -> None:
    """The lists are from the job that had the name before."""
    stage.prepare("create and finish", make_namespace(stage.cluster))
    stage.cluster.api.create(make_job(ray.namespace))
    expect_running(ray, attempt=1)
    lists = take_lists(stage)
    ray.delete_job()
    assert ray.wait(lambda: ray.read_children() == {}, SECONDS)
    anew = stage.play(ray.namespace)
    stage.cluster.api.create(make_job(ray.namespace))
    expect_running(anew, attempt=1)
    before = read_uids(anew)
    assert restart_on(stage, anew, lists) == []
    assert read_uids(anew) == before
    stage.proxy.heal()
    anew.succeeds = True
    expect(anew, "Complete", "True/Finished")
    assert stage.find_differences("create and finish", anew) == ()


def test_f03_nothing_is_made_for_a_job_that_only_the_lists_know(
    stage: Stage, ray: PlayedRay
) -> None:
    stage.cluster.api.create(make_job(ray.namespace))
    expect_running(ray, attempt=1)
    lists = take_lists(stage)
    ray.delete_job()
    assert ray.wait(lambda: ray.read_children() == {}, SECONDS)
    assert restart_on(stage, ray, lists) == []
    assert ray.read_children() == {}
