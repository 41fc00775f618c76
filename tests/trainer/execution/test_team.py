"""A team's work ends as its leader says, or with the first real cause, and keeps sound processes."""

import pytest

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.execution._base import Done, Failure
from trimtab_trainer.execution.team import PATIENCE_SECONDS, TeamWatch

SLOT = 3


def fail(failure_class: FailureClass, *, lost_peer: bool = False) -> Done:
    return Done(SLOT, None, Failure(failure_class, failure_class.value, "", None, lost_peer))


ANSWER = Done(SLOT, {"accuracy": 0.5}, None)
EMPTY = Done(SLOT, None, None)
INTERRUPTED = Done(SLOT, None, None, interrupted=True)
ECHO = fail(FailureClass.NODE_LOST, lost_peer=True)
DEATH = fail(FailureClass.NODE_LOST)
ERROR = fail(FailureClass.TRIAL_ERROR)
MEMORY = fail(FailureClass.OOM)
PREEMPTED = fail(FailureClass.PREEMPTED)
DIVERGED = fail(FailureClass.DIVERGED)


def watch(*ends: tuple[int, Done], size: int = 3) -> TeamWatch:
    watch = TeamWatch(SLOT, size)
    for now, (rank, end) in enumerate(ends):
        watch.note(rank, end, float(now))
    return watch


@pytest.mark.parametrize("end", [ANSWER, INTERRUPTED, ERROR], ids=["value", "interrupt", "error"])
def test_one_process_alone_decides(end: Done) -> None:
    team = watch((0, end), size=1)
    assert team.conclude(0.0) == end
    assert team.find_unfit() == []


@pytest.mark.parametrize(
    "end", [MEMORY, DEATH, PREEMPTED], ids=["memory", "death", "machine taken away"]
)
def test_one_process_without_memory_or_life_is_replaced(end: Done) -> None:
    assert watch((0, end), size=1).find_unfit() == [0]


def test_f40_nobody_waits_for_the_followers_of_a_leader_whose_machine_is_taken_away() -> None:
    team = watch((1, ECHO), (0, PREEMPTED))
    assert team.conclude(1.0) == PREEMPTED
    assert team.find_unfit() == [0, 1, 2]


def test_the_leaders_value_counts_when_all_have_ended() -> None:
    team = watch((2, EMPTY), (0, ANSWER))
    assert team.conclude(1.0) is None
    team.note(1, EMPTY, 2.0)
    assert team.conclude(2.0) == ANSWER
    assert team.find_unfit() == []


def test_a_follower_that_is_ready_first_waits_for_the_leader_without_limit() -> None:
    team = watch((1, EMPTY), (2, EMPTY))
    assert team.deadline is None
    assert team.conclude(1e9) is None


def test_followers_that_do_not_end_after_the_leader_are_replaced() -> None:
    team = watch((0, ANSWER), (2, EMPTY))
    assert team.deadline == PATIENCE_SECONDS
    assert team.conclude(PATIENCE_SECONDS - 0.1) is None
    assert team.conclude(PATIENCE_SECONDS) == ANSWER
    assert team.find_unfit() == [1]


def test_what_a_follower_fails_at_after_the_leaders_answer_costs_only_the_follower() -> None:
    team = watch((0, ANSWER), (1, DEATH), (2, EMPTY))
    assert team.conclude(2.0) == ANSWER
    assert team.find_unfit() == [1]


def test_nobody_waits_for_the_followers_of_an_interrupted_leader() -> None:
    team = watch((0, INTERRUPTED))
    assert team.conclude(0.0) == INTERRUPTED
    assert team.find_unfit() == [1, 2]


@pytest.mark.parametrize(
    ("cause", "unfit"),
    [(ERROR, [0, 2]), (DEATH, [0, 1, 2]), (MEMORY, [0, 1, 2])],
    ids=["error", "death", "memory"],
)
def test_the_cause_is_told_and_not_its_echoes(cause: Done, unfit: list[int]) -> None:
    team = watch((0, ECHO), (1, cause), (2, ECHO))
    assert team.conclude(2.0) == cause
    assert team.find_unfit() == unfit


def test_an_echo_waits_for_its_cause_and_is_told_where_none_comes() -> None:
    team = watch((0, ECHO))
    assert team.conclude(PATIENCE_SECONDS - 0.1) is None
    assert team.conclude(PATIENCE_SECONDS) == ECHO


def test_an_echo_does_not_undo_the_leaders_answer() -> None:
    assert watch((1, ECHO), (2, EMPTY), (0, ANSWER)).conclude(2.0) == ANSWER


def test_a_real_failure_before_the_leaders_answer_counts() -> None:
    assert watch((1, ERROR), (2, EMPTY), (0, ANSWER)).conclude(2.0) == ERROR


def test_members_that_fail_alike_stay_warm_and_the_first_is_told() -> None:
    team = watch((1, DIVERGED), (0, ERROR), (2, DIVERGED))
    assert team.conclude(2.0) == DIVERGED
    assert team.find_unfit() == []
