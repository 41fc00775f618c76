"""The run folder: who works in it, for which study, and how it is cleared.

Called by the pipeline at the start of a local run. The folder is the storage: trial log, stage
entries, checkpoints, artifacts, logs and the reports lie in it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.errors import StudyMismatchError, UserError
from trimtab_trainer.storage.filesystem import read_json, remove, write_json
from trimtab_trainer.storage.spec_changes import describe_changes

__all__ = ["clear_folder", "enter_attempt", "enter_data", "lock_folder"]

_IDENTITY = "job.json"
_LOCK = ".lock"
_RESULTS = ("trials", "stages", "checkpoints")
"""What a later start goes on from."""
_CONTENT = (
    *_RESULTS,
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
        remove(folder / name)


def enter_attempt(
    folder: Path, *, name: str, fingerprint: str, spec: Spec, attempt: int | None = None
) -> int:
    """Say that a start begins and return its number, counted from 1.

    A folder in which nothing is finished, such as after a manifest that cannot work, is taken over
    by another study.

    Args:
        folder: The run folder.
        name: The job.
        fingerprint: Of its fields that cannot change.
        spec: As written, to say what changed.
        attempt: Its number where others count the starts; None = the next one.

    Raises:
        StudyMismatchError: The folder belongs to another study, which has results.
    """
    identity = read_json(folder / _IDENTITY) or {"fingerprint": fingerprint, "attempt": 0}
    if identity["fingerprint"] != fingerprint:
        if _has_results(folder):
            raise _mismatch(folder, identity["fingerprint"], fingerprint, spec)
        clear_folder(folder)
        identity = {"attempt": 0}
    number = int(identity["attempt"]) + 1 if attempt is None else attempt
    entered = {**identity, "name": name, "fingerprint": fingerprint, "attempt": number}
    write_json(folder / _IDENTITY, entered)
    return number


def enter_data(folder: Path, digest: str) -> None:
    """Say which data a run sees, so that a later start goes on with the same.

    Raises:
        StudyMismatchError: An earlier start saw other data and has results.
    """
    identity = read_json(folder / _IDENTITY) or {}
    known = identity.get("data")
    if known == digest:
        return
    if known is not None and _has_results(folder):
        raise StudyMismatchError(
            f"the data of {folder} must be those of its earlier trials, with hash {known[:12]}, but"
            f" have {digest[:12]}: restore them, give code that draws samples a fixed seed, or use"
            " --fresh to start over"
        )
    write_json(folder / _IDENTITY, {**identity, "data": digest})


def _has_results(folder: Path) -> bool:
    paths = (path for name in _RESULTS for path in (folder / name, *(folder / name).rglob("*")))
    return any(path.is_file() for path in paths)


def _mismatch(folder: Path, before: str, after: str, spec: Spec) -> StudyMismatchError:
    report: dict[str, Any] = read_json(folder / "report.json") or {}
    is_of_study = report.get("fingerprint") == before
    changes = describe_changes(report["manifest"], spec) if is_of_study else ""
    return StudyMismatchError(
        f"{folder} belongs to a study with fingerprint {before[:12]}, the manifest has"
        f" {after[:12]}: {changes or 'a field was changed'}, which cannot change; use --fresh to"
        " start over, or another --output"
    )
