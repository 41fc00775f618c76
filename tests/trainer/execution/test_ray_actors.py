"""Slots of Ray are processes of their own, set up as asked, replaced when they die, gone at the end."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cluster.processes import wait_until
from slot_work import (
    ToyBench,
    count,
    fail_alone,
    hang,
    hold_leader,
    observe,
    raise_error,
    return_unpicklable,
    sum_ranks,
)
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import EnvironmentMissingError
from trimtab_trainer.execution import team
from trimtab_trainer.execution._base import Done
from trimtab_trainer.execution.ray_actors import RayExecutor
from trimtab_trainer.execution.ray_session import join_cluster

SUPPORT = Path(__file__).parents[2] / "support"
MARK = "TRIMTAB_TEST_RAY"


def make_executor() -> RayExecutor:
    """Two processes for one slot, and a GPU for each that Ray only believes in."""
    return RayExecutor(
        slots=1,
        make_bench=ToyBench,
        threads_per_slot=2,
        code_dir=SUPPORT,
        workers_per_slot=2,
        gpus=2,
    )


# Starting Ray takes seconds, so tests share one executor and leave its slot idle.
@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    with make_executor() as executor:
        yield executor


def finish(executor: RayExecutor) -> Done:
    while True:
        for event in executor.events(timeout=20):
            if isinstance(event, Done):
                return event


def look(executor: RayExecutor) -> dict[str, object]:
    """Return what the leader's process sees."""
    executor.submit(0, observe)
    done = finish(executor)
    assert done.failure is None
    seen: dict[str, object] = done.value
    return seen


def look_at_all(executor: RayExecutor) -> list[dict[str, object]]:
    """Return what each process of the team sees, told through the team's own connections."""
    executor.submit_team(0, sum_ranks)
    done = finish(executor)
    assert done.failure is None
    seen: list[dict[str, object]] = done.value
    return seen


@pytest.mark.ray
def test_a_slot_has_its_threads_and_the_users_code_first(executor: RayExecutor) -> None:
    seen = look(executor)
    assert (seen["threads"], seen["omp"], seen["path"]) == (1, "1", str(SUPPORT))
    assert seen["pid"] != os.getpid()


@pytest.mark.ray
def test_starting_leaves_the_drivers_own_threads_alone(executor: RayExecutor) -> None:
    assert executor.slots == 1
    assert os.environ.get("OMP_NUM_THREADS") is None


@pytest.mark.ray
def test_f48_the_process_is_another_one_after_its_memory_ran_out(executor: RayExecutor) -> None:
    before = look(executor)
    executor.submit(0, raise_error, kind="cuda")
    failure = finish(executor).failure
    assert failure is not None
    assert failure.failure_class is FailureClass.OOM
    after = look(executor)
    assert after["pid"] != before["pid"]
    assert after["uses"] == 1


@pytest.mark.ray
def test_f50_work_that_hangs_can_be_stopped(executor: RayExecutor) -> None:
    executor.submit(0, hang)
    next(executor.events())
    assert list(executor.events(timeout=0.01)) == []
    executor.stop(0)
    assert look(executor)["uses"] == 1


@pytest.mark.ray
def test_a_value_that_cannot_travel_fails_its_work(executor: RayExecutor) -> None:
    executor.submit(0, return_unpicklable)
    failure = finish(executor).failure
    assert failure is not None
    assert failure.failure_class is FailureClass.TRIAL_ERROR
    assert failure.message == "TypeError: cannot pickle 'generator' object"
    executor.submit(0, count, to=0)
    assert finish(executor).value["steps"] == 0


@pytest.mark.ray
def test_a_second_ray_in_one_process_is_refused(executor: RayExecutor) -> None:
    assert executor.slots == 1
    with pytest.raises(EnvironmentMissingError, match="local Ray must start here"):
        make_executor()


@pytest.mark.parametrize("start", [make_executor, lambda: join_cluster(1)], ids=["own", "joined"])
def test_a_ray_that_does_not_come_up_is_named_whatever_it_raises(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[], object]
) -> None:
    def time_out(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # noqa: TRY002 as Ray does

    monkeypatch.setattr("ray.init", time_out)
    with pytest.raises(EnvironmentMissingError, match=r"Ray.* must .* but: The current node timed"):
        start()


@pytest.mark.ray
def test_a_team_shares_the_slots_threads_and_has_a_gpu_each(executor: RayExecutor) -> None:
    seen = look_at_all(executor)
    assert [member["rank"] for member in seen] == [0, 1]
    assert [member["threads"] for member in seen] == [1, 1]
    assert {member["gpus"] for member in seen} == {"0", "1"}
    assert executor.gpus_per_slot == 2
    assert len({member["pid"] for member in seen}) == 2


@pytest.mark.ray
@pytest.mark.parametrize(
    ("how", "expected", "message"),
    [
        ("no such column", FailureClass.TRIAL_ERROR, "KeyError: 'no such column' (slot_work.py"),
        ("dies", FailureClass.NODE_LOST, "the process that ran the work died"),
    ],
)
def test_a_follower_that_fails_is_told_quietly_and_the_next_work_finds_a_whole_team(
    executor: RayExecutor,
    capfd: pytest.CaptureFixture[str],
    how: str,
    expected: FailureClass,
    message: str,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # The other member may lose its connection well before Ray tells of the death.
        patch.setattr(team, "PATIENCE_SECONDS", 60.0)
        executor.submit_team(0, fail_alone, rank=1, how=how)
        failure = finish(executor).failure
    assert failure is not None
    assert failure.failure_class is expected
    assert failure.message.startswith(message)
    assert len(look_at_all(executor)) == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.ray
def test_an_interrupted_team_loses_the_followers_that_are_busy(executor: RayExecutor) -> None:
    before = look_at_all(executor)
    executor.submit_team(0, hold_leader)
    next(executor.events())
    executor.interrupt(0)
    assert finish(executor).interrupted
    after = look_at_all(executor)
    assert after[0]["pid"] == before[0]["pid"]
    assert after[1]["pid"] != before[1]["pid"]


HOLDING_DRIVER = """
    import signal

    from slot_work import ToyBench, hold
    from trimtab_trainer.execution.ray_actors import RayExecutor

    # As under a terminal; a shell's background job, as these tests may be, ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line
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


def start_driver(
    program: str, environment: Mapping[str, str], *arguments: str
) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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


@pytest.mark.ray
@pytest.mark.parametrize(
    ("stop", "send", "expected"),
    [
        # As a terminal does: every process of the foreground group gets Ctrl-C.
        (signal.SIGINT, os.killpg, "interrupted\n"),
        (signal.SIGTERM, os.kill, "interrupted\n"),
        (signal.SIGKILL, os.killpg, ""),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_f57_a_stopped_driver_is_quiet_and_leaves_no_process(
    tmp_path: Path, stop: signal.Signals, send: Callable[[int, int], None], expected: str
) -> None:
    mark = f"{MARK}={tmp_path}"
    driver = start_driver(HOLDING_DRIVER, {MARK: str(tmp_path)})
    with driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "running\n"
        assert len(processes_with(mark)) > 2
        send(driver.pid, stop)
        out, error = driver.communicate(timeout=60)
    assert (out, error) == (expected, "")
    assert wait_until(lambda: not processes_with(mark), 60)


ASKING_DRIVER = """
    import sys

    import slot_work
    from trimtab_trainer.execution._base import Done
    from trimtab_trainer.execution.ray_actors import RayExecutor

    work, slots = getattr(slot_work, sys.argv[1]), int(sys.argv[2])
    with RayExecutor(
        slots=slots, make_bench=slot_work.ToyBench, threads_per_slot=1, code_dir=None, gpus=1
    ) as executor:
        for slot in range(slots):
            executor.submit(slot, work)
        ended = []
        while len(ended) < slots:
            ended += [event for event in executor.events() if isinstance(event, Done)]
    for done in ended:
        print(done.failure.message if done.failure else (done.value["gpus"], done.value["uses"]))
"""


def ask_driver(environment: Mapping[str, str], work: str, *, slots: int) -> list[str]:
    """Return what becomes of the work in each slot."""
    with start_driver(ASKING_DRIVER, environment, work, str(slots)) as driver:
        out, error = driver.communicate(timeout=240)
    assert driver.returncode == 0, error
    return out.splitlines()


@pytest.mark.ray
def test_an_actor_that_does_not_answer_is_replaced_and_its_work_placed_anew() -> None:
    lost = {"num_failures": 1, "req_failure_prob": 100}
    environment = {
        "RAY_testing_rpc_failure": json.dumps({"CoreWorkerService.grpc_client.PushTask": lost}),
        "RAY_timeout_ms_task_wait_for_death_info": "100",
    }
    # Both processes have their half of the one GPU, and have seen one piece of work.
    assert ask_driver(environment, "observe", slots=2) == ["('0', 1)", "('0', 1)"]


@pytest.mark.ray
def test_f41_a_process_killed_for_memory_is_told_with_the_figure() -> None:
    environment = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "50"}
    (told,) = ask_driver(environment, "hold", slots=1)
    assert re.search(r"killed to free memory of the machine: [\d.]+GB used / ", told)
