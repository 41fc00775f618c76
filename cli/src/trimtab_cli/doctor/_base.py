"""What one check found, and the command that mends it. Made by the modules beside it."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "CheckState"]


class CheckState(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    """A job can run, yet something is worth knowing."""
    UNKNOWN = "unknown"
    """The user may not look; only somebody with more rights can tell."""
    FAILED = "failed"
    """No job can run, or not the one that was asked about."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    subject: str
    """What was looked at, in a word or two."""
    state: CheckState
    text: str
    """What was found."""
    remedy: str = ""
    """The command that mends it, or shows more; empty where there is nothing to do."""
