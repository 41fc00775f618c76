"""The process of a slot does one piece of work at a time and answers control calls meanwhile."""

import socket
from pathlib import Path

from slot_work import ToyBench, count, hold, hold_or_save, introduce, make_broken_bench
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import UserError
from trimtab_trainer.execution._base import Done, TeamMember
from trimtab_trainer.execution.slot_process import SlotProcess


def make_process() -> SlotProcess:
    return SlotProcess(slot=0, threads=1, code_dir=None)


def test_a_bench_that_cannot_be_made_fails_its_work_and_is_tried_again() -> None:
    process = make_process()
    for order in range(2):
        (done,) = process.run(order, make_broken_bench, count, {"to": 1})
        assert isinstance(done, Done)
        assert done.failure is not None
        assert type(done.failure.error) is UserError


def test_an_interrupt_of_another_order_is_ignored() -> None:
    process = make_process()
    process.interrupt(1)
    *steps, done = process.run(2, ToyBench, count, {"to": 2})
    assert steps == [0, 1]
    assert done == Done(0, {"steps": 2, "uses": 1}, None)


def test_work_is_interrupted_where_it_yields_next() -> None:
    process = make_process()
    steps = process.run(7, ToyBench, hold, {})
    assert next(steps) == "still here"
    process.interrupt(7)
    assert list(steps) == [Done(0, None, None, interrupted=True)]


def test_f40_work_stores_what_it_has_when_its_machine_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    process = make_process()
    steps = process.run(7, ToyBench, hold_or_save, {"path": path, "limit": 5})
    for _ in range(3):
        next(steps)
    process.preempt(7)
    (done,) = steps
    assert isinstance(done, Done)
    assert done.failure is not None
    assert done.failure.failure_class is FailureClass.PREEMPTED
    assert done.failure.traceback == ""
    assert path.read_text() == "2"
    *steps_again, end = process.run(8, ToyBench, hold_or_save, {"path": path, "limit": 5})
    assert len(steps_again) == 3
    assert end == Done(0, 2, None)


def test_f40_work_that_has_not_begun_does_not_when_its_machine_is_taken_away() -> None:
    process = make_process()
    process.preempt(7)
    (done,) = process.run(7, ToyBench, hold, {})
    assert isinstance(done, Done)
    assert done.failure is not None
    assert done.failure.failure_class is FailureClass.PREEMPTED


def test_a_follower_works_silently() -> None:
    member = TeamMember(rank=1, size=2, address="")
    (done,) = make_process().run(1, ToyBench, introduce, {}, member=member, address="host:1")
    assert isinstance(done, Done)
    assert done.value["team"] == TeamMember(rank=1, size=2, address="host:1")


def test_the_address_of_a_team_can_be_listened_at() -> None:
    host, _, port = make_process().choose_address(lambda: "127.0.0.1").rpartition(":")
    with socket.create_server((host, int(port))) as server:
        assert server.getsockname() == ("127.0.0.1", int(port))
