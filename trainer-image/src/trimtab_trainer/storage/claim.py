"""Storage on a claim, or on any file system that all processes of a job see under one path.

Opened by `opening`. The job's folder is the storage itself, so there is nothing to attach or to
fetch, and an attempt takes over the files of the one before as hard links.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import final

from typing_extensions import override

from trimtab_trainer.storage._base import (
    FENCE,
    IMPORTED,
    AbstractRunStorage,
    attempt_name,
    is_imported,
    parse_attempt,
    parse_fence,
)
from trimtab_trainer.storage.filesystem import atomic_write, read_json, write_json
from trimtab_trainer.storage.trial_log import LOG_NAME

__all__ = ["ClaimStorage"]


@final
class ClaimStorage(AbstractRunStorage):
    """The folder of one job on a file system.

    Args:
        root: The folder; made by `attach`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    @override
    def root(self) -> Path:
        return self._root

    @override
    def attach(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)

    @override
    def read_fence(self) -> int:
        """Return the highest attempt that has raised the fence; 0 without any.

        An attempt counts by its folder, too: two that raise the fence at once may overwrite each
        other's file, but each has made its folder before.
        """
        written = parse_fence(read_json(self._root / FENCE))
        return max([written, *self._attempts()])

    @override
    def raise_fence(self, attempt: int) -> None:
        self.attach()
        self.check_fence(attempt)
        (self._root / attempt_name(attempt)).mkdir(exist_ok=True)
        write_json(self._root / FENCE, {"attempt": attempt})
        self.check_fence(attempt)

    @override
    def open_attempt(self, attempt: int) -> Path:
        folder = self.join_attempt(attempt)
        if (folder / IMPORTED).exists():
            return folder
        earlier = sorted((number for number in self._attempts() if number < attempt), reverse=True)
        source = next((number for number in earlier if self._is_open(number)), None)
        if source is not None:
            _take_over(self._root / attempt_name(source), folder)
        write_json(folder / IMPORTED, {"from": source})
        return folder

    @override
    def join_attempt(self, attempt: int) -> Path:
        folder = self._root / attempt_name(attempt)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _attempts(self) -> list[int]:
        try:
            names = [entry.name for entry in self._root.iterdir()]
        except FileNotFoundError:
            return []
        return [number for name in names if (number := parse_attempt(name)) is not None]

    def _is_open(self, attempt: int) -> bool:
        return (self._root / attempt_name(attempt) / IMPORTED).exists()


def _take_over(source: Path, target: Path) -> None:
    """Link or copy all that counts of an attempt; what vanishes meanwhile was not finished."""
    # Unlike rglob, walk passes over a folder that vanishes.
    found = [Path(folder, name) for folder, _, names in os.walk(source) for name in names]
    for path in sorted(found):
        name = path.relative_to(source)
        if not is_imported(name.as_posix()):
            continue
        with suppress(FileNotFoundError):
            if name.as_posix() == LOG_NAME:
                # The only file that is written in place: a link would go on growing.
                atomic_write(target / name, path.read_bytes())
            else:
                _link(path, target / name)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        # Not every file system of a claim has links. Half a copy is found by its hash.
        shutil.copyfile(source, target)
