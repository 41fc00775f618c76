"""A pass is timed, and counted by how it ended; its result and its error pass through."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from trimtab_operator.cluster.cache import JobKey
from trimtab_operator.cluster.errors import ConflictError, Request
from trimtab_operator.handlers.measured import measure
from trimtab_operator.telemetry.metrics import PassLog

KEY = JobKey("team", "digits")


def run(work: Callable[[JobKey], Awaitable[float | None]], log: PassLog) -> float | None:
    moments = iter((10.0, 12.5))
    measured = measure(work, log, monotonic=lambda: next(moments))

    async def start() -> float | None:
        return await measured(KEY)

    return asyncio.run(start())


def seconds(log: PassLog) -> dict[str, float]:
    return {outcome: total for outcome, _, total in log.durations()}


def test_a_pass_that_succeeds_is_timed_and_its_delay_is_passed_on() -> None:
    async def work(key: JobKey) -> float | None:
        assert key == KEY
        return 3.0

    log = PassLog()
    assert run(work, log) == 3.0
    assert seconds(log) == {"Succeeded": 2.5, "Failed": 0.0}
    assert log.errors() == {}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConflictError(Request("patch", "pods"), "no"), "Conflict"),
        (ValueError("free text of a fault"), "Internal"),
    ],
)
def test_a_pass_that_fails_is_counted_by_the_kind_of_its_error(
    error: Exception, reason: str
) -> None:
    async def work(key: JobKey) -> float | None:
        raise error

    log = PassLog()
    with pytest.raises(type(error)):
        run(work, log)
    assert log.errors() == {reason: 1}
    assert seconds(log) == {"Succeeded": 0.0, "Failed": 2.5}
