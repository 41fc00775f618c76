"""The run folder: who works in it, for which study, and how it is cleared.

Called by the pipeline at the start of a local run. The folder is the storage: trial log, stage
entries, checkpoints, artifacts, logs and the reports lie in it.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab_trainer.errors import StudyMismatchError, UserError
from trimtab_trainer.storage.filesystem import read_json, write_json

__all__ = ["clear_folder", "enter_attempt", "enter_data", "lock_folder"]

_IDENTITY = "job.json"
_LOCK = ".lock"
_CONTENT = (
    "trials",
    "stages",
    "checkpoints",
    "artifacts",
    "logs",
    "warm-start.json",
    "report.json",
    "report.html",
    _IDENTITY,
)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the folder, making it if needed, so that no second run works in it.

    Raises:
        UserError: Another run works in it, or it holds something else than a run.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise UserError(f"the run folder {folder} must be a folder: {error.strerror}") from error
    if names - {_LOCK} and _IDENTITY not in names:
        raise UserError(
            f"the run folder {folder} must be empty or hold an earlier run but holds"
            f" {', '.join(sorted(names)[:3])}"
        )
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another run works in {folder}; wait for it or stop it") from error
        yield


def clear_folder(folder: Path) -> None:
    """Remove what a run left; other files are not touched."""
    for name in _CONTENT:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def enter_attempt(folder: Path, *, name: str, fingerprint: str) -> int:
    """Say that a start begins and return its number, counted from 1.

    Raises:
        StudyMismatchError: The folder belongs to another study.
    """
    identity = read_json(folder / _IDENTITY) or {"fingerprint": fingerprint, "attempt": 0}
    if identity["fingerprint"] != fingerprint:
        raise StudyMismatchError(
            f"{folder} belongs to a study with fingerprint {identity['fingerprint'][:12]}, the"
            f" manifest has {fingerprint[:12]}: a field that cannot change was changed; use"
            " --fresh to start over, or another --output"
        )
    attempt = int(identity["attempt"]) + 1
    entered = {**identity, "name": name, "fingerprint": fingerprint, "attempt": attempt}
    write_json(folder / _IDENTITY, entered)
    return attempt


def enter_data(folder: Path, digest: str) -> None:
    """Say which data a run sees, so that a later start goes on with the same.

    Raises:
        StudyMismatchError: An earlier start saw other data.
    """
    identity = read_json(folder / _IDENTITY) or {}
    known = identity.get("data", digest)
    if known != digest:
        raise StudyMismatchError(
            f"the data of {folder} must be those of its earlier trials, with hash {known[:12]}, but"
            f" have {digest[:12]}: restore them, give code that draws samples a fixed seed, or use"
            " --fresh to start over"
        )
    if "data" not in identity:
        write_json(folder / _IDENTITY, {**identity, "data": digest})
