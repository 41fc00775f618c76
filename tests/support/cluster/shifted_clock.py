"""The API server's clock, as a client sees it that lives in another time.

All stamps on their way to the client are shifted, and those that the client sends are shifted back,
so for each side the other's clock is wrong by as much, and its own objects are consistent.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

__all__ = ["shift_date", "shift_stamps"]

_STAMP = re.compile(rb"(?<![0-9])(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?=(?:\.\d+)?Z)")


def shift_stamps(content: bytes, by: timedelta) -> bytes:
    """Return a text in which all RFC 3339 stamps of UTC are later."""
    return _STAMP.sub(_shifter(by), content) if by else content


def shift_date(header: str, by: timedelta) -> str:
    """Return a later Date header."""
    return format_datetime(parsedate_to_datetime(header).astimezone(UTC) + by, usegmt=True)


def _shifter(by: timedelta) -> Callable[[re.Match[bytes]], bytes]:
    def shift(found: re.Match[bytes]) -> bytes:
        moment = datetime.fromisoformat(found[1].decode()) + by
        return moment.isoformat(timespec="seconds").encode()

    return shift
