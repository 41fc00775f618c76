"""Slots of Ray are processes of their own, set up as asked, replaced when they die, gone at the end."""

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_work import ToyBench, count, die, make_broken_bench, observe, return_unpicklable
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import EnvironmentMissingError, UserError, WorkerLostError
from trimtab_trainer.execution._base import Done, WorkFunction
from trimtab_trainer.execution.ray_actors import RayExecutor, _Slot

SUPPORT = Path(__file__).parents[2] / "support"
MARK = "TRIMTAB_TEST_RAY"


def make_executor() -> RayExecutor:
    return RayExecutor(slots=1, make_bench=ToyBench, threads_per_slot=1, code_dir=SUPPORT)


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    with make_executor() as executor:
        yield executor


def run(executor: RayExecutor, work: WorkFunction, **arguments: object) -> Done:
    executor.submit(0, work, **arguments)
    while True:
        for event in executor.events(timeout=20):
            if isinstance(event, Done):
                return event


@pytest.mark.ray
def test_a_slot_has_its_threads_and_the_users_code_first(executor: RayExecutor) -> None:
    done = run(executor, observe)
    assert done.failure is None
    seen = done.value
    assert (seen["threads"], seen["omp"], seen["path"]) == (1, "1", str(SUPPORT))
    assert seen["pid"] != os.getpid()


@pytest.mark.ray
def test_starting_leaves_the_drivers_own_threads_alone(executor: RayExecutor) -> None:
    assert executor.slots == 1
    assert os.environ.get("OMP_NUM_THREADS") is None


@pytest.mark.ray
def test_a_slot_that_dies_is_told_and_replaced(executor: RayExecutor) -> None:
    failure = run(executor, die).failure
    assert failure is not None
    assert failure.failure_class is FailureClass.NODE_LOST
    assert type(failure.error) is WorkerLostError
    assert run(executor, count, to=2).value == {"steps": 2, "uses": 1}


@pytest.mark.ray
def test_a_value_that_cannot_travel_fails_its_work(executor: RayExecutor) -> None:
    failure = run(executor, return_unpicklable).failure
    assert failure is not None
    assert failure.failure_class is FailureClass.TRIAL_ERROR
    assert failure.message == "TypeError: cannot pickle 'generator' object"
    assert run(executor, count, to=0).value["steps"] == 0


@pytest.mark.ray
def test_a_second_ray_in_one_process_is_refused(executor: RayExecutor) -> None:
    assert executor.slots == 1
    with pytest.raises(EnvironmentMissingError, match="local Ray must start here"):
        make_executor()


def test_a_bench_that_cannot_be_made_fails_its_work_and_is_tried_again() -> None:
    slot = _Slot(0, 1, None)
    for _ in range(2):
        (done,) = slot.run(make_broken_bench, count, {"to": 1})
        assert isinstance(done, Done)
        assert done.failure is not None
        assert type(done.failure.error) is UserError


DRIVER = """
    from slot_work import ToyBench, hold
    from trimtab_trainer.execution.ray_actors import RayExecutor

    try:
        with RayExecutor(
            slots=1, make_bench=ToyBench, threads_per_slot=1, code_dir=None
        ) as executor:
            executor.submit(0, hold)
            for number in range(1_000_000):
                next(executor.events())
                if number == 0:
                    print("running", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def processes_with(mark: str) -> list[int]:
    """Return the processes that inherited this entry of the environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in entries:
            found.append(int(folder.name))
    return found


def wait_until_gone(pids: list[int]) -> None:
    """Ray's processes notice the loss of the driver by themselves, within seconds."""
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([process], [], [], 20)
        os.close(process)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("stop", "expected"), [(signal.SIGINT, "interrupted\n"), (signal.SIGKILL, "")], ids=str
)
def test_f57_a_stopped_driver_is_quiet_and_leaves_no_process(
    tmp_path: Path, stop: signal.Signals, expected: str
) -> None:
    mark = f"{MARK}={tmp_path}"
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER)],
        env={**os.environ, MARK: str(tmp_path), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "running\n"
        started = processes_with(mark)
        assert len(started) > 2
        # As a terminal does: every process of the foreground group gets Ctrl-C.
        os.killpg(driver.pid, stop)
        out, error = driver.communicate(timeout=60)
    assert (out, error) == (expected, "")
    wait_until_gone(started)
    assert processes_with(mark) == []
