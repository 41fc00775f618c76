"""What storage a run of a cluster works in: a job's folder, on a claim or in a bucket.

Implemented by `claim` and `bucket`, opened by `open_storage`; used by the driver, by the processes
of its slots and by the Jobs that measure targets. Each works in a local folder with the layout of
a run folder. Whether what it publishes there lies on a shared disk or is uploaded as well is told
apart nowhere else. `opening.open_storage` gives the one that a URI names.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from trimtab_trainer.errors import FencedError

__all__ = [
    "FENCE",
    "IMPORTED",
    "AbstractRunStorage",
    "attempt_name",
    "is_imported",
    "list_attempts",
    "parse_attempt",
    "parse_fence",
    "require_latest",
]

FENCE = "fence"
"""Name of the job's file that holds the current attempt."""
IMPORTED = "imported.json"
"""Name of the file that says that an attempt's folder has all of the one before; written last."""

_LEFT_BEHIND = ("logs/", "targets/", "report.json", "report.html", IMPORTED)
"""What belongs to one attempt alone."""

_ATTEMPT = re.compile(r"a([1-9][0-9]{0,8})")


def attempt_name(attempt: int) -> str:
    """Return the name of an attempt's folder, such as `a3`."""
    return f"a{attempt}"


def parse_attempt(name: str) -> int | None:
    """Return the attempt whose folder has this name; None where it is another folder."""
    match = _ATTEMPT.fullmatch(name)
    return int(match[1]) if match else None


def list_attempts(folders: Iterable[Path]) -> list[Path]:
    """Return those of some folders that are attempts', the latest first."""
    found = {number: folder for folder in folders if (number := parse_attempt(folder.name))}
    return [found[number] for number in sorted(found, reverse=True)]


def is_imported(name: str) -> bool:
    """Return whether the next attempt takes over a file, named relative to its attempt's folder."""
    is_temporary = name.rsplit("/", 1)[-1].startswith(".")
    return not is_temporary and not name.startswith(_LEFT_BEHIND)


def parse_fence(document: object) -> int:
    """Return the attempt in a fence's JSON; 0 where there is none."""
    match document:
        case {"attempt": int(attempt)}:
            return attempt
        case _:
            return 0


def require_latest(attempt: int, fence: int) -> None:
    """Refuse an attempt below the fence.

    Raises:
        FencedError: It is.
    """
    if fence > attempt:
        raise FencedError(
            f"attempt {attempt} must be the latest of its job but attempt {fence} has begun;"
            " this one ends and writes nothing more"
        )


class AbstractRunStorage(ABC):
    """The folder of one job, `<storage>/<namespace>/<name>/<uid>/`.

    Every method may raise OSError: `patience.is_passing` tells whether waiting helps, as with a
    bucket or a disk that is full or away, or not, as with a wrong key.
    """

    @property
    @abstractmethod
    def root(self) -> Path:
        """Return the local folder that stands for the job's; absolute, and made by `attach`."""

    @abstractmethod
    def attach(self) -> None:
        """Make the folder; from here on what this process publishes below it reaches storage.

        Publishing means `filesystem.staged` and what is built on it, removing means
        `filesystem.remove`. Call it once in each process: the driver's and each slot's.
        """

    @abstractmethod
    def read_fence(self) -> int:
        """Return the highest attempt that has raised the fence; 0 without any."""

    @abstractmethod
    def raise_fence(self, attempt: int) -> None:
        """Raise the fence to this attempt, before anything else is read or written.

        Drivers of earlier attempts find it at their next `check_fence`. Harmless when called again
        by the same attempt.

        Raises:
            FencedError: A higher attempt has raised it.
        """

    @abstractmethod
    def open_attempt(self, attempt: int) -> Path:
        """Return the folder of an attempt, `root / a<N>`, with what earlier ones finished.

        The first call for an attempt imports the latest earlier attempt whose own import was
        complete: trials, stage entries, checkpoints and artifacts, not logs, reports and what
        targets measured. What that attempt writes from now on is not seen any more. Where nothing
        was finished the folder is empty. A driver that starts again in the same attempt imports
        nothing, and finds here what it left.

        Call `raise_fence` first.
        """

    @abstractmethod
    def join_attempt(self, attempt: int) -> Path:
        """Return the folder of an attempt that a driver opened, importing nothing.

        For slots, and for Jobs that measure targets: they fetch what they need.
        """

    def check_fence(self, attempt: int) -> None:
        """Refuse to go on for an attempt that is not the latest; asked before each write.

        Raises:
            FencedError: A higher attempt has raised the fence.
        """
        require_latest(attempt, self.read_fence())
