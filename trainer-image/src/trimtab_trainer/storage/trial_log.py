"""The trial log: the truth about a study, one appended line per finished trial.

Written by the search through its caller, read at every start to rebuild the study. The first line
names the study and the schema. Each checksum covers all lines before it too, so a record that was
changed, lost, moved or taken from another log does not pass. What a record means is left to the
search. One process writes at a time; the run folder's lock or the fence of a job sees to that.
Where a mirror covers the file, each record is an object there, stored before it is appended here.
"""

import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab_trainer.errors import StudyMismatchError, TrialLogCorruptError
from trimtab_trainer.storage.filesystem import sync_folder
from trimtab_trainer.storage.hashes import canonical_json
from trimtab_trainer.storage.mirror import find_mirror

__all__ = ["LOG_NAME", "TrialLog", "find_newest_log", "read_any_log"]

LOG_NAME = "trials"
"""Name of the log in a run folder."""

_SCHEMA = 1

_LINE_START = b'{"attempt":'
"""Found twice in one line, it tells that the newline between two records was changed."""


@dataclass(frozen=True, slots=True)
class _Position:
    """Where the next line goes."""

    sequence: int
    offset: int
    """Bytes up to which the file is intact; what follows is torn."""
    crc: int
    """Of the line before."""


class TrialLog:
    """An append-only file of JSON records that belong to one study.

    Args:
        path: The file; it is made with the first record.
        fingerprint: Names the study; a log of another one is refused.
        attempt: Which start of the run writes, counted from 1.
    """

    def __init__(self, path: Path, *, fingerprint: str, attempt: int = 1) -> None:
        self._path = path
        self._header = {"fingerprint": fingerprint, "schema": _SCHEMA}
        self._attempt = attempt
        self._position: _Position | None = None

    def read(self) -> list[dict[str, Any]]:
        """Return all records in the order of their writing; nothing is changed.

        A torn last line, left by a crash while it was written, counts as not there.

        Raises:
            TrialLogCorruptError: A line before the last one fails its checksum.
            StudyMismatchError: The log belongs to another study or has another schema.
            OSError: The file cannot be read.
        """
        records, _ = self._load()
        return records

    def append(self, record: dict[str, Any]) -> None:
        """Write a record; it is on disk when this returns.

        A torn last line is cut off first. When writing fails, the record is not there, and the
        next call may try again.

        Raises:
            TrialLogCorruptError: As for `read`, at the first call.
            StudyMismatchError: As for `read`, at the first call.
            ValueError: A number of the record is NaN or infinite.
            FencedError: Another process wrote this record into storage.
            OSError: The file system refuses.
        """
        if self._position is None:
            _, self._position = self._load()
        if self._position.sequence == 0:
            self._position = self._write(self._position, self._header)
            sync_folder(self._path.parent)
        self._position = self._write(self._position, record)

    def _write(self, position: _Position, record: dict[str, Any]) -> _Position:
        crc, line = _encode(position.sequence, self._attempt, record, position.crc)
        find_mirror(self._path).append_log(self._path, position.sequence, line)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Only the first line may make the file: a log that vanished must not begin with a hole.
        is_new = position.sequence == 0 and not self._path.exists()
        with self._path.open("w+b" if is_new else "r+b") as file:
            file.truncate(position.offset)
            file.seek(position.offset)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        return _Position(position.sequence + 1, position.offset + len(line), crc)

    def _load(self) -> tuple[list[dict[str, Any]], _Position]:
        """Return the records without the header, and where the next one goes."""
        find_mirror(self._path).fetch_log(self._path)
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        records, position = _decode(data, self._path)
        if records:
            self._check_header(records[0])
        return records[1:], position

    def _check_header(self, header: dict[str, Any]) -> None:
        if header != self._header:
            raise StudyMismatchError(
                f"trial log {self._path} belongs to study {_name_study(header)} but the job is"
                f" study {_name_study(self._header)}"
            )


def find_newest_log(jobs: Iterable[Iterable[Path]]) -> Path | None:
    """Return the trial log of the job, of several, that wrote to its own last; None without any.

    Args:
        jobs: For each its run folders, the latest attempt first. A log goes on from the one of the
            attempt before, whatever the clocks say that wrote them.

    Raises:
        TrialLogCorruptError: A record of one is missing in storage.
        OSError: The storage does not answer.
    """
    logs = [log for folders in jobs if (log := _find_first_log(folders)) is not None]
    return max(logs, key=lambda log: log.stat().st_mtime, default=None)


def _find_first_log(folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        log = folder / LOG_NAME
        find_mirror(log).fetch_log(log)
        if log.is_file():
            return log
    return None


def read_any_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a trial log, whichever study it belongs to.

    Raises:
        TrialLogCorruptError: A line before the last one fails its checksum.
        OSError: The file cannot be read.
    """
    records, _ = _decode(path.read_bytes(), path)
    return records[1:]


def _name_study(header: dict[str, Any]) -> str:
    return f"{header.get('fingerprint')} (schema {header.get('schema')})"


def _decode(data: bytes, path: Path) -> tuple[list[dict[str, Any]], _Position]:
    """Read lines up to the first that is not what would have been written in its place.

    Only the last line may be such a one: a crash while it was written tore it.
    """
    *lines, tail = data.split(b"\n")
    records: list[dict[str, Any]] = []
    position = _Position(0, 0, 0)
    for sequence, line in enumerate([*lines, tail] if tail else lines):
        parsed = None if sequence == len(lines) else _parse(line, sequence, position.crc)
        if parsed is None:
            is_last = len(data) - position.offset <= len(line) + 1
            if not is_last or line.count(_LINE_START) > 1:
                raise TrialLogCorruptError(
                    f"trial log {path} must hold records that pass their checksums but record"
                    f" {sequence} does not; restore the file, or start over with --fresh"
                )
            break
        crc, record = parsed
        records.append(record)
        position = _Position(sequence + 1, position.offset + len(line) + 1, crc)
    return records, position


def _parse(line: bytes, sequence: int, crc: int) -> tuple[int, dict[str, Any]] | None:
    try:
        envelope = json.loads(line)
        attempt, record = envelope["attempt"], envelope["record"]
        new_crc, expected = _encode(sequence, attempt, record, crc)
    except (ValueError, KeyError, TypeError):
        return None
    return (new_crc, record) if line + b"\n" == expected else None


def _encode(sequence: int, attempt: int, record: dict[str, Any], crc: int) -> tuple[int, bytes]:
    """Return the checksum and the line of a record, given the checksum of the line before."""
    body = {"attempt": attempt, "record": record, "seq": sequence}
    new_crc = zlib.crc32(canonical_json(body), crc)
    return new_crc, canonical_json({**body, "crc": f"{new_crc:08x}"}) + b"\n"
