"""The trial log: the truth about a study, one appended line per finished trial.

Written by the search through its caller, read at every start to rebuild the study. The first line
names the study and the schema. Each checksum covers all lines before it too, so a record that was
changed, lost, moved or taken from another log does not pass. What a record means is left to the
search. One process writes at a time; the run folder's lock sees to that.
"""

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab_trainer.errors import StudyMismatchError, TrialLogCorruptError
from trimtab_trainer.storage.filesystem import sync_folder
from trimtab_trainer.storage.hashes import canonical_json

__all__ = ["TrialLog"]

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class _Content:
    """The intact lines of a log, and where the next one goes."""

    records: list[dict[str, Any]]
    """Without the first line, which names the study."""
    lines: int
    end: int
    """Bytes up to which the file is intact; what follows is torn."""
    crc: int


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
        self._content: _Content | None = None

    def read(self) -> list[dict[str, Any]]:
        """Return all records in the order of their writing; nothing is changed.

        A torn last line, left by a crash while it was written, counts as not there.

        Raises:
            TrialLogCorruptError: A line before the last one fails its checksum.
            StudyMismatchError: The log belongs to another study or has another schema.
            OSError: The file cannot be read.
        """
        return self._load().records

    def append(self, record: dict[str, Any]) -> None:
        """Write a record; it is on disk when this returns.

        A torn last line is cut off first. When writing fails, the record is not there, and the
        next call may try again.

        Raises:
            TrialLogCorruptError: As for `read`, at the first call.
            StudyMismatchError: As for `read`, at the first call.
            ValueError: A number of the record is NaN or infinite.
            OSError: The file system refuses.
        """
        content = self._content or self._load()
        if content.lines == 0:
            content = self._write(content, self._header)
        self._content = self._write(content, record)

    def _write(self, content: _Content, record: dict[str, Any]) -> _Content:
        crc, line = _encode(content.lines, self._attempt, record, content.crc)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.truncate(content.end)
            file.seek(content.end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if content.lines == 0:
            sync_folder(self._path.parent)
        is_header = content.lines == 0
        records = content.records if is_header else [*content.records, record]
        return _Content(records, content.lines + 1, content.end + len(line), crc)

    def _load(self) -> _Content:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        content = _decode(data, self._path)
        self._check_header(data)
        return content

    def _check_header(self, data: bytes) -> None:
        """Refuse another study's log; the first line was already found intact."""
        line, newline, _ = data.partition(b"\n")
        if not newline:
            return
        header = json.loads(line)["record"]
        if header != self._header:
            raise StudyMismatchError(
                f"trial log {self._path} belongs to study {_name_study(header)} but the job is"
                f" study {_name_study(self._header)}"
            )


def _name_study(header: dict[str, Any]) -> str:
    return f"{header.get('fingerprint')} (schema {header.get('schema')})"


def _decode(data: bytes, path: Path) -> _Content:
    """Read lines up to the first that is not what would have been written in its place."""
    *lines, tail = data.split(b"\n")
    records: list[dict[str, Any]] = []
    end = crc = 0
    for sequence, line in enumerate(lines):
        parsed = _parse(line, sequence, crc)
        if parsed is None:
            if sequence < len(lines) - 1 or tail:
                raise TrialLogCorruptError(
                    f"trial log {path} must hold records that pass their checksums but record"
                    f" {sequence} does not; restore the file, or start over with --fresh"
                )
            break
        crc, record = parsed
        end += len(line) + 1
        records.append(record)
    return _Content(records[1:], len(records), end, crc)


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
