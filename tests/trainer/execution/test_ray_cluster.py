"""On a cluster, processes are spread over its workers; those without a place wait for one."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ray_cluster import ray_cluster, ray_worker
from slot_work import ToyBench, observe
from trimtab_trainer.execution._base import Done
from trimtab_trainer.execution.ray_actors import RayExecutor
from trimtab_trainer.execution.ray_session import join_cluster, leave_cluster
from trimtab_trainer.execution.shares import Machines

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


def make_executor(machines: Machines) -> RayExecutor:
    return RayExecutor(
        slots=2,
        make_bench=ToyBench,
        threads_per_slot=machines.cores,
        code_dir=None,
        machines=machines,
    )


def hear(executor: RayExecutor, seconds: float) -> list[int]:
    """Return the slots whose work ended."""
    return [event.slot for event in executor.events(seconds) if isinstance(event, Done)]


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
