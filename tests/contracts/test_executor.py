"""Whatever runs work keeps the promises of AbstractExecutor, in processes or without them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slot_work import (
    ToyBench,
    count,
    exhaust_memory,
    hold,
    import_module,
    introduce,
    make_broken_bench,
    raise_error,
    resist,
    scribble,
)
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import DivergedError, UserError
from trimtab_trainer.execution._base import (
    AbstractExecutor,
    Done,
    Event,
    Progress,
    TeamMember,
)
from trimtab_trainer.execution.in_process import InProcessExecutor
from trimtab_trainer.execution.ray_actors import RayExecutor

SUPPORT = Path(__file__).parents[1] / "support"


def make_ray_executor(make_bench: Callable[[], object]) -> AbstractExecutor:
    return RayExecutor(slots=2, make_bench=make_bench, threads_per_slot=1, code_dir=SUPPORT)


def make_in_process_executor(make_bench: Callable[[], object]) -> AbstractExecutor:
    return InProcessExecutor(slots=2, make_bench=make_bench, code_dir=SUPPORT)


# Starting Ray takes seconds, so tests share one executor and leave its slots idle.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(make_in_process_executor, id="in process"),
        pytest.param(make_ray_executor, id="ray", marks=pytest.mark.ray),
    ],
)
def executor(request: pytest.FixtureRequest) -> Iterator[AbstractExecutor]:
    with request.param(ToyBench) as executor:
        yield executor


def finish(executor: AbstractExecutor, *slots: int) -> list[Event]:
    """Gather events until these slots are done."""
    seen: list[Event] = []
    while not set(slots) <= {event.slot for event in seen if isinstance(event, Done)}:
        seen.extend(executor.events(timeout=20))
    return seen


def result_of(executor: AbstractExecutor, slot: int = 0) -> Done:
    ended = [event for event in finish(executor, slot) if isinstance(event, Done)]
    (done,) = (event for event in ended if event.slot == slot)
    return done


def test_what_work_yields_is_progress_and_what_it_returns_is_its_value(
    executor: AbstractExecutor,
) -> None:
    executor.submit(1, count, to=3)
    *progress, done = finish(executor, 1)
    assert progress == [Progress(1, 0), Progress(1, 1), Progress(1, 2)]
    assert isinstance(done, Done)
    assert (done.slot, done.value["steps"], done.failure) == (1, 3, None)


def test_no_busy_slot_means_no_events(executor: AbstractExecutor) -> None:
    assert list(executor.events()) == []


def test_a_slot_keeps_its_bench_between_pieces_of_work(executor: AbstractExecutor) -> None:
    executor.submit(0, count, to=0)
    first = result_of(executor)
    executor.submit(0, count, to=0)
    second = result_of(executor)
    assert second.value["uses"] == first.value["uses"] + 1


def test_slots_do_not_share_a_bench(executor: AbstractExecutor) -> None:
    executor.submit(0, count, to=0)
    before = result_of(executor, 0).value["uses"]
    executor.submit(1, count, to=0)
    result_of(executor, 1)
    executor.submit(0, count, to=0)
    assert result_of(executor, 0).value["uses"] == before + 1


def test_a_slot_can_be_filled_while_events_are_read(executor: AbstractExecutor) -> None:
    executor.submit(0, count, to=1)
    ended = 0
    while ended < 3:
        for event in executor.events(timeout=20):
            if isinstance(event, Done):
                ended += 1
                if ended < 3:
                    executor.submit(event.slot, count, to=1)
    assert list(executor.events()) == []


def test_a_chatty_slot_does_not_drown_the_others(executor: AbstractExecutor) -> None:
    executor.submit(0, hold)
    executor.submit(1, count, to=2)
    assert result_of(executor, 1).value["steps"] == 2
    executor.interrupt(0)
    result_of(executor, 0)


@pytest.mark.parametrize("slot", [-1, 2])
def test_a_slot_that_does_not_exist_is_refused(executor: AbstractExecutor, slot: int) -> None:
    actions: list[Callable[[], None]] = [
        lambda: executor.submit(slot, count, to=1),
        lambda: executor.submit_team(slot, introduce),
        lambda: executor.interrupt(slot),
        lambda: executor.stop(slot),
        lambda: executor.is_waiting(slot) and None,
    ]
    for act in actions:
        with pytest.raises(ValueError, match=rf"0…1 but got {slot}"):
            act()


def test_no_slot_waits_for_a_place_that_has_begun_or_has_nothing_to_do(
    executor: AbstractExecutor,
) -> None:
    assert not executor.is_waiting(0)
    executor.submit(0, count, to=1)
    next(executor.events())
    assert not executor.is_waiting(0)
    result_of(executor)


def test_a_busy_slot_is_refused(executor: AbstractExecutor) -> None:
    executor.submit(0, count, to=1)
    with pytest.raises(ValueError, match="slot 0 must be idle"):
        executor.submit(0, count, to=1)
    with pytest.raises(ValueError, match="slot 0 must be idle"):
        executor.submit_team(0, introduce)
    result_of(executor)


def test_a_team_of_one_leads_itself(executor: AbstractExecutor) -> None:
    assert executor.workers_per_slot == 1
    executor.submit_team(0, introduce)
    *progress, done = finish(executor, 0)
    assert progress == [Progress(0, "rank 0")]
    assert isinstance(done, Done)
    assert done.value["team"] == TeamMember(rank=0, size=1, address="")


def test_interrupted_work_is_closed_and_its_slot_stays_warm(
    executor: AbstractExecutor, tmp_path: Path
) -> None:
    executor.submit(0, count, to=0)
    before = result_of(executor).value["uses"]
    executor.submit(0, scribble, path=tmp_path / "note")
    next(executor.events())
    executor.interrupt(0)
    assert result_of(executor) == Done(0, None, None, interrupted=True)
    assert (tmp_path / "note").read_text() == "closed"
    executor.submit(0, count, to=0)
    assert result_of(executor).value["uses"] == before + 1


def test_work_may_be_interrupted_before_it_starts(executor: AbstractExecutor) -> None:
    executor.submit(0, hold)
    executor.interrupt(0)
    assert result_of(executor).interrupted


def test_work_that_fails_while_it_is_closed_has_failed(executor: AbstractExecutor) -> None:
    executor.submit(0, resist)
    next(executor.events())
    executor.interrupt(0)
    done = result_of(executor)
    assert done.failure is not None
    assert done.failure.message.startswith("KeyError: 'no such file'")
    assert not done.interrupted


def test_an_interrupt_reaches_no_later_work(executor: AbstractExecutor) -> None:
    executor.interrupt(0)
    executor.submit(0, count, to=1)
    executor.interrupt(0)
    result_of(executor)
    executor.submit(0, count, to=3)
    done = result_of(executor)
    assert (done.value["steps"], done.interrupted) == (3, False)


def test_interrupting_one_slot_leaves_the_others_alone(executor: AbstractExecutor) -> None:
    executor.submit(0, hold)
    executor.submit(1, count, to=3)
    executor.interrupt(0)
    ended = [event for event in finish(executor, 0, 1) if isinstance(event, Done)]
    assert {done.slot: done.interrupted for done in ended} == {0: True, 1: False}


def test_f51_stopped_work_is_silent_its_late_result_too_and_its_slot_is_fresh(
    executor: AbstractExecutor,
) -> None:
    executor.submit(0, count, to=2)
    next(executor.events())
    executor.stop(0)
    assert list(executor.events()) == []
    executor.submit(0, count, to=3)
    *progress, done = finish(executor, 0)
    assert progress == [Progress(0, step) for step in range(3)]
    assert isinstance(done, Done)
    assert done.value == {"steps": 3, "uses": 1}


def test_f48_a_slot_is_fresh_after_its_memory_ran_out(executor: AbstractExecutor) -> None:
    executor.submit(0, count, to=0)
    result_of(executor)
    executor.submit(0, exhaust_memory)
    failure = result_of(executor).failure
    assert failure is not None
    assert failure.failure_class is FailureClass.OOM
    executor.submit(0, count, to=0)
    assert result_of(executor).value["uses"] == 1


def test_a_slot_stopped_while_events_are_read_is_silent(executor: AbstractExecutor) -> None:
    executor.submit(0, hold)
    executor.submit(1, hold)
    seen: list[int] = []
    while 0 not in seen:
        for event in executor.events(timeout=20):
            seen.append(event.slot)
            if event.slot == 0:
                executor.stop(1)
                seen.append(-1)
    executor.interrupt(0)
    result_of(executor, 0)
    assert 1 not in seen[seen.index(-1) :]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("own", FailureClass.DIVERGED),
        ("user", FailureClass.TRIAL_ERROR),
        ("exit", FailureClass.TRIAL_ERROR),
    ],
)
def test_what_work_raises_becomes_a_failure_of_its_class(
    executor: AbstractExecutor, kind: str, expected: FailureClass
) -> None:
    executor.submit(0, raise_error, kind=kind)
    failure = result_of(executor).failure
    assert failure is not None
    assert failure.failure_class is expected


def test_the_trainers_own_error_can_be_raised_again(executor: AbstractExecutor) -> None:
    executor.submit(0, raise_error, kind="own")
    failure = result_of(executor).failure
    assert failure is not None
    assert type(failure.error) is DivergedError
    assert failure.message == str(failure.error) == "loss is nan at step 3"


def test_another_error_is_told_with_type_text_and_last_frame(executor: AbstractExecutor) -> None:
    executor.submit(0, raise_error, kind="user")
    failure = result_of(executor).failure
    assert failure is not None
    assert failure.error is None
    assert failure.message.startswith("KeyError: 'no such column' (slot_work.py:")
    assert failure.message.endswith(" raise_error)")
    assert "Traceback" in failure.traceback


def test_a_long_error_is_one_line_of_256_characters_with_its_frame(
    executor: AbstractExecutor,
) -> None:
    executor.submit(0, raise_error, kind="long")
    failure = result_of(executor).failure
    assert failure is not None
    assert len(failure.message) == 256
    assert "\n" not in failure.message
    assert failure.message.endswith(" raise_error)")


def test_work_goes_on_in_a_slot_whose_work_failed(executor: AbstractExecutor) -> None:
    executor.submit(0, raise_error, kind="exit")
    result_of(executor)
    executor.submit(0, count, to=1)
    assert result_of(executor).value["steps"] == 1


def test_a_missing_module_fails_the_work_and_not_the_driver(executor: AbstractExecutor) -> None:
    executor.submit(0, import_module, name="no_such_module")
    failure = result_of(executor).failure
    assert failure is not None
    assert failure.message.startswith("ModuleNotFoundError: No module named 'no_such_module'")


def test_a_bench_that_cannot_be_made_fails_each_work() -> None:
    with make_in_process_executor(make_broken_bench) as executor:
        for _ in range(2):
            executor.submit(0, count, to=1)
            failure = result_of(executor).failure
            assert failure is not None
            assert type(failure.error) is UserError


def test_closing_twice_is_harmless() -> None:
    executor = make_in_process_executor(ToyBench)
    executor.submit(0, hold)
    executor.close()
    executor.close()
    assert list(executor.events()) == []
