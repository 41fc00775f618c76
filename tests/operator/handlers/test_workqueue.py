"""Keys wait once, run one pass at a time, and come back later after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from trimtab_operator.cluster.cache import JobKey
from trimtab_operator.cluster.errors import Request, UnavailableError
from trimtab_operator.handlers.workqueue import Backoff, WorkQueue

ONE, TWO = JobKey("team", "one"), JobKey("team", "two")
BACKOFF = Backoff(first=0.01, longest=0.05)
Work = Callable[[JobKey], Awaitable[float | None]]


def run_until_idle(make: Callable[[WorkQueue], None], work: Work, *, passes: int) -> None:
    """Run a queue until so many passes have begun."""

    async def scenario() -> None:
        begun = 0
        enough = asyncio.Event()

        async def counted(key: JobKey) -> float | None:
            nonlocal begun
            begun += 1
            if begun == passes:
                enough.set()
            return await work(key)

        queue = WorkQueue(counted, BACKOFF)
        make(queue)
        running = asyncio.create_task(queue.run(2))
        await asyncio.wait_for(enough.wait(), 5)
        await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert begun == passes

    asyncio.run(scenario())


def test_f04_a_key_that_is_added_often_runs_once() -> None:
    done: list[JobKey] = []

    async def work(key: JobKey) -> None:
        done.append(key)

    def make(queue: WorkQueue) -> None:
        for key in (ONE, ONE, TWO, ONE):
            queue.add(key)
        assert queue.depth() == 2

    run_until_idle(make, work, passes=2)
    assert sorted(done) == [ONE, TWO]


def test_an_event_during_a_pass_leads_to_one_more_and_never_to_two_at_once() -> None:
    active = highest = 0
    queues: list[WorkQueue] = []

    async def work(key: JobKey) -> None:
        nonlocal active, highest
        active += 1
        highest = max(highest, active)
        if len(queues) == 1:
            queues[0].add(key)
            queues[0].add(key)
            queues.append(queues[0])
        await asyncio.sleep(0)
        active -= 1

    def make(queue: WorkQueue) -> None:
        queues.append(queue)
        queue.add(ONE)

    run_until_idle(make, work, passes=2)
    assert highest == 1


def test_a_pass_says_when_the_next_is_due() -> None:
    delays = iter([0.0, None])

    async def work(key: JobKey) -> float | None:
        return next(delays)

    run_until_idle(lambda queue: queue.add(ONE), work, passes=2)


def test_f15_a_job_that_breaks_comes_again_and_holds_nobody_up() -> None:
    done: list[JobKey] = []

    async def work(key: JobKey) -> None:
        done.append(key)
        if key == ONE and done.count(ONE) < 3:
            raise ValueError("a fault of ours")

    def make(queue: WorkQueue) -> None:
        queue.add(ONE)
        queue.add(TWO)

    run_until_idle(make, work, passes=4)
    assert done.count(ONE) == 3
    assert done[1] == TWO


def test_f08_an_event_does_not_cut_the_pause_after_a_failure_short() -> None:
    async def scenario() -> None:
        seconds = 0.0
        tries = 0

        async def work(key: JobKey) -> float | None:
            nonlocal tries
            tries += 1
            raise UnavailableError(Request("get", "pods"), "busy", retry_after=7.0)

        queue = WorkQueue(work, BACKOFF, monotonic=lambda: seconds)
        queue.add(ONE)
        running = asyncio.create_task(queue.run(1))
        for _ in range(5):
            await asyncio.sleep(0)
        assert tries == 1
        queue.add(ONE)
        assert queue.depth() == 0
        seconds = 6.9
        assert queue.depth() == 0
        seconds = 7.1
        assert queue.depth() == 1
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_a_pass_that_hangs_shows_its_age() -> None:
    async def scenario() -> None:
        seconds = 0.0

        async def work(key: JobKey) -> float | None:
            await asyncio.Event().wait()
            return None

        queue = WorkQueue(work, BACKOFF, monotonic=lambda: seconds)
        assert queue.longest_pass() == 0.0
        queue.add(ONE)
        running = asyncio.create_task(queue.run(1))
        for _ in range(3):
            await asyncio.sleep(0)
        seconds = 400.0
        assert queue.longest_pass() == 400.0
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("failures", "share", "expected"),
    [(1, 1.0, 1.0), (1, 0.0, 0.5), (3, 1.0, 4.0), (9, 1.0, 60.0), (1000, 1.0, 60.0)],
)
def test_pauses_double_up_to_the_longest(failures: int, share: float, expected: float) -> None:
    assert Backoff(first=1.0, longest=60.0).delay(failures, share) == expected
