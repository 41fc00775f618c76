"""Crash points: the operator is killed at the n-th write of a script, started anew, and must end alike.

A case is a script, a number and a side of the write. What an undisturbed run leaves is the oracle;
besides, no RayJob is made twice, and attempts are numbered as without the crash.
"""

import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cluster.faults import Fault, Loss, writes_in
from cluster.job_scripts import SCRIPTS, JobGoneError, NotReachedError
from cluster.operator_stage import Stage

__all__ = ["CrashPoint", "Outcome", "Side", "iterate_points", "run_point", "sample_points"]

_LAST_WRITES, _BACK = 2.0, 60.0
_DELETED_AT_THE_CRASH = "delete"


class Side(StrEnum):
    """When the operator is killed."""

    BEFORE = "before"
    """The server never sees the write."""
    AFTER = "after"
    """The write is done, its answer is lost."""


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One case."""

    script: str
    number: int
    side: Side

    def __str__(self) -> str:
        """Return `edit, before write 7`."""
        return f"{self.script}, {self.side} write {self.number}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went; it converged where there are no faults.

    Attributes:
        killed: Whether the run had so many writes at all.
        faults: What differs from the reference.
    """

    killed: bool
    faults: tuple[str, ...]


def iterate_points(writes: Mapping[str, int]) -> Iterator[CrashPoint]:
    """Yield both sides of every write of every script.

    Args:
        writes: Their number by script.
    """
    for script, count in writes.items():
        for number in range(1, count + 1):
            for side in Side:
                yield CrashPoint(script, number, side)


def sample_points(
    seed: int, count: int, scripts: Iterable[str] = SCRIPTS
) -> Iterator[tuple[str, float, Side]]:
    """Yield scripts in turn, each with how far into its writes it is hit, and on which side."""
    chance = random.Random(seed)
    names = list(scripts)
    for index in range(count):
        yield names[index % len(names)], chance.random(), chance.choice(list(Side))


def run_point(stage: Stage, point: CrashPoint, namespace: str) -> Outcome:
    """Run a case in a namespace of its own; its script must be prepared."""
    ray = stage.play(namespace)
    back = threading.Event()

    def crash() -> None:
        stage.operator.kill()
        if point.script == _DELETED_AT_THE_CRASH:
            ray.delete_job()
        stage.operator.start()
        back.set()

    effect = Loss.REQUEST if point.side is Side.BEFORE else Loss.ANSWER
    chosen, passed = writes_in(namespace), point.number - 1
    stage.proxy.requests.clear()
    stage.proxy.add(Fault(chosen, effect, passed=passed, then=crash))
    faults: list[str] = []
    try:
        SCRIPTS[point.script](ray)
    except JobGoneError:
        pass  # deleted at the crash
    except NotReachedError as error:
        faults.append(str(error))
    # The last writes of a script come after its end, or not at all.
    killed = ray.wait(lambda: stage.proxy.count_writes(chosen) >= point.number, _LAST_WRITES)
    if killed and not back.wait(_BACK):
        faults.append(f"the operator did not come back: {stage.operator.read_log()[-500:]}")
    faults += stage.find_differences(point.script, ray)
    stage.proxy.heal()
    ray.delete_job()
    ray.play()
    return Outcome(killed, tuple(faults))
