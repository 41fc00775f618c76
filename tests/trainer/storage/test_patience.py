"""A write waits for a full or unreachable place, and fails at once for any other reason."""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import islice, repeat

import pytest

from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_trainer.storage.patience import StorageTrouble, patiently, pauses


def failing(*numbers: int) -> Callable[[], str]:
    """Return a write that fails with these errors, one after another, then works."""
    errors = iter(numbers)

    def write() -> str:
        for number in errors:
            raise OSError(number, os.strerror(number), "/store/trials")
        return "written"

    return write


def run(write: Callable[[], str]) -> tuple[list[StorageTrouble], str]:
    troubles: list[StorageTrouble] = []

    def steps() -> Iterator[StorageTrouble]:
        result = yield from patiently(write, waits=lambda: repeat(0.0), sleep=lambda _: None)
        results.append(result)

    results: list[str] = []
    troubles.extend(steps())
    return troubles, results[0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_f58_a_full_place_is_waited_for_and_told(number: int) -> None:
    troubles, result = run(failing(number, number))
    assert result == "written"
    assert [trouble.reason for trouble in troubles] == [DegradedReason.STORAGE_FULL] * 2
    assert troubles[0].message == f"{os.strerror(number)} at /store/trials"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN])
def test_f52_an_unreachable_place_is_waited_for_and_told(number: int) -> None:
    troubles, result = run(failing(number))
    assert result == "written"
    assert [trouble.reason for trouble in troubles] == [DegradedReason.STORAGE_UNREACHABLE]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_other_errors_are_raised_at_once(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        run(failing(number))


def test_pauses_grow_to_half_a_minute_and_differ_between_processes() -> None:
    first, second = list(islice(pauses(), 12)), list(islice(pauses(), 12))
    assert first != second
    assert max(first) <= 30
    assert first[0] <= 0.5
    assert min(first[8:]) >= 15
