"""On a cluster, processes are spread over its workers; those without a place wait for one."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ray.exceptions import ActorUnavailableError

from ray_cluster import ray_cluster, ray_worker
from slot_work import ToyBench, hang, hold_or_save, observe
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.execution import ray_actors
from trimtab_trainer.execution._base import Done, Progress
from trimtab_trainer.execution.ray_actors import RayExecutor
from trimtab_trainer.execution.ray_session import join_cluster, leave_cluster
from trimtab_trainer.execution.shares import Machines

SUPPORT = Path(__file__).parents[2] / "support"

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ray_cluster(cpus=2) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        yield address


@pytest.fixture(autouse=True)
def left() -> Iterator[None]:
    yield
    leave_cluster()


def make_executor(machines: Machines, *, slots: int = 2) -> RayExecutor:
    return RayExecutor(
        slots=slots,
        make_bench=ToyBench,
        threads_per_slot=machines.cores,
        code_dir=SUPPORT,
        machines=machines,
    )


def hear(executor: RayExecutor, seconds: float) -> list[int]:
    """Return the slots whose work ended."""
    done = [event for event in executor.events(seconds) if isinstance(event, Done)]
    assert [end.failure for end in done] == [None] * len(done)
    return [end.slot for end in done]


def finish(executor: RayExecutor) -> Done:
    while True:
        for event in executor.events(20):
            if isinstance(event, Done):
                return event


def test_f40_work_stores_what_it_has_when_its_worker_ends_and_goes_on_elsewhere(
    address: str, tmp_path: Path
) -> None:
    join_cluster(1)
    path = tmp_path / "stored"
    # A process takes all cores of a worker, more than that of the cluster has.
    machines = Machines(count=1, cores=4, gpus=0)
    with (
        ExitStack() as workers,
        ray_worker(address, cpus=4, drain=20) as worker,
        make_executor(machines, slots=1) as executor,
    ):
        executor.submit(0, hold_or_save, path=path, limit=10**9)
        assert isinstance(next(executor.events()), Progress)
        worker.terminate()  # as Kubernetes does: the first process of the container
        failure = finish(executor).failure
        assert failure is not None
        assert failure.failure_class is FailureClass.PREEMPTED
        stored = int(path.read_text())

        executor.submit(0, hold_or_save, path=path, limit=stored + 1)
        worker.wait(60)  # nothing of the work holds it up any more
        assert executor.is_waiting(0)
        workers.enter_context(ray_worker(address, cpus=4))
        assert finish(executor) == Done(0, stored, None)


def test_f40_work_that_does_not_hear_in_time_is_taken_away_and_not_lost(
    address: str,
) -> None:
    join_cluster(1)
    machines = Machines(count=1, cores=4, gpus=0)
    with (
        ray_worker(address, cpus=4, drain=8) as worker,
        make_executor(machines, slots=1) as executor,
    ):
        executor.submit(0, hang)
        assert isinstance(next(executor.events()), Progress)
        worker.terminate()
        failure = finish(executor).failure
        assert failure is not None
        assert failure.failure_class is FailureClass.PREEMPTED
        assert failure.message == "the machine that ran the work was taken away"


@pytest.mark.usefixtures("address")
def test_f40_work_on_a_machine_that_is_taken_away_is_not_lost_when_ray_knows_no_more_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose_touch(_: object) -> None:
        raise ActorUnavailableError("nothing heard", None)

    machines = join_cluster(1)
    with make_executor(machines, slots=1) as executor:
        executor.submit(0, observe)
        process = finish(executor).value["pid"]
        executor.submit(0, hang)
        assert isinstance(next(executor.events()), Progress)
        names = frozenset(node["NodeID"] for node in ray_actors.ray.nodes())
        monkeypatch.setattr(ray_actors, "find_leaving_machines", lambda: names)
        assert list(executor.events(2)) == []  # it looks, and tells the work
        monkeypatch.setattr("ray.get", lose_touch)
        os.kill(process, signal.SIGKILL)
        failure = finish(executor).failure
    assert failure is not None
    assert failure.failure_class is FailureClass.PREEMPTED


def test_only_workers_take_work_and_the_head_does_not(address: str) -> None:
    assert join_cluster(1) == Machines(count=1, cores=2, gpus=0)


def test_f40_a_slot_without_a_machine_waits_until_one_comes(address: str) -> None:
    join_cluster(1)
    leave_cluster()
    machines = join_cluster(2, patience=0)
    assert machines == Machines(count=2, cores=2, gpus=0)
    # A worker that is used does not end quickly: the executor leaves it first.
    with ExitStack() as workers, make_executor(machines) as executor:
        executor.submit(0, observe)
        executor.submit(1, observe)
        ended: list[int] = []
        while not ended:
            ended += hear(executor, 20)
        (slot,) = ended
        assert not executor.is_waiting(slot)
        assert executor.is_waiting(1 - slot)
        workers.enter_context(ray_worker(address, cpus=2))
        while len(ended) < 2:
            ended += hear(executor, 20)
        assert not executor.is_waiting(1 - slot)
