"""Crash points: the operator is killed at the n-th write of a script, started anew, and must end alike.

A case is a script, a number and a side of the write. What an undisturbed run leaves is the oracle;
besides, no RayJob is made twice, and attempts are numbered as without the crash.
"""

import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cluster.faults import Fault, Loss, writes_in
from cluster.job_scripts import SCRIPTS, JobGoneError, NotReachedError
from cluster.operator_stage import Stage

__all__ = [
    "CrashPoint",
    "Outcome",
    "Sample",
    "Side",
    "draw_samples",
    "iterate_points",
    "run_point",
    "run_sample",
]

_LAST_WRITES, _BACK = 2.0, 60.0
_DELETED_AT_THE_CRASH = "delete"
_RUNS = 5
"""Of a case that was drawn; the numbers of writes differ by less."""


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
class Sample:
    """A case that is drawn before it is known how many writes there are.

    Attributes:
        script: Which one.
        share: How far into its writes it is hit, from 0 to 1.
        side: When.
    """

    script: str
    share: float
    side: Side

    def __str__(self) -> str:
        """Return `edit-before-0.42`."""
        return f"{self.script}-{self.side}-{self.share:.2f}"


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


def draw_samples(seed: int, count: int, scripts: Iterable[str] = SCRIPTS) -> Iterator[Sample]:
    """Yield cases of the scripts in turn."""
    chance = random.Random(seed)
    names = list(scripts)
    for index in range(count):
        yield Sample(names[index % len(names)], chance.random(), chance.choice(list(Side)))


def run_sample(stage: Stage, sample: Sample, make_namespace: Callable[[], str]) -> Outcome:
    """Run a case that was drawn, so that the operator is killed in it.

    The number of a run's writes varies with what the operator happens to take together in one. Where
    a run had fewer than the case needs, the next one is hit a write earlier.

    Args:
        stage: Where the script runs.
        sample: The case.
        make_namespace: Makes one for each run.

    Raises:
        AssertionError: No run wrote nearly as much as the undisturbed one.
    """
    reference = stage.prepare(sample.script, make_namespace())
    drawn = 1 + int(sample.share * reference.writes)
    for number in range(drawn, max(0, drawn - _RUNS), -1):
        point = CrashPoint(sample.script, number, sample.side)
        sys.stdout.write(f"{point} of {reference.writes}\n")
        outcome = run_point(stage, point, make_namespace())
        if outcome.killed or outcome.faults:
            return outcome
    raise AssertionError(f"{sample.script}: {_RUNS} runs wrote less than {drawn - _RUNS + 1} times")


def run_point(stage: Stage, point: CrashPoint, namespace: str) -> Outcome:
    """Run a case in a namespace of its own; its script must be prepared."""
    ray = stage.play(namespace)
    begun, back = threading.Event(), threading.Event()

    def crash() -> None:
        begun.set()
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
    reached = ray.wait(lambda: stage.proxy.count_writes(chosen) >= point.number, _LAST_WRITES)
    stage.proxy.heal()
    # One that came just before the proxy was healed is hit all the same.
    killed = reached or begun.wait(_LAST_WRITES)
    if killed and not back.wait(_BACK):
        faults.append(f"the operator did not come back: {stage.operator.read_log()[-500:]}")
    faults += stage.find_differences(point.script, ray)
    ray.delete_job()
    ray.play()
    return Outcome(killed, tuple(faults))
