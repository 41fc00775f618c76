"""The objects of a bucket that stand behind a local folder, file by file.

Attached by `bucket`; used through `mirror` by everything that publishes. A file is an object of
the same relative name, a trial log one object per record. What this process has is remembered by
etag, so that fetching costs one listing where nothing is new.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import final

from typing_extensions import override

from trimtab_trainer.errors import FencedError, TrialLogCorruptError
from trimtab_trainer.storage.mirror import AbstractMirror
from trimtab_trainer.storage.objects import ABSENT, ObjectStore, StoredObject
from trimtab_trainer.storage.uris import BucketPlace

__all__ = ["BucketMirror", "join_records", "record_name"]

_THREADS = 8
_LISTED_DEPTH = 5
"""Folders such as `<namespace>/<name>/<uid>/a3/checkpoints` are listed as a whole: what others
deleted there goes here, too."""


def record_name(sequence: int) -> str:
    """Return the name of the object in a trial log that begins with this record."""
    return f"{sequence:08}"


def join_records(store: ObjectStore, records: Sequence[StoredObject]) -> bytes:
    """Return the content of a trial log from its objects, given by key.

    Raises:
        TrialLogCorruptError: One before the last is missing.
    """
    joined, lines = bytearray(), 0
    with ThreadPoolExecutor(_THREADS) as pool:
        contents = pool.map(lambda record: store.read(record.key)[0], records)
        for record, content in zip(records, contents, strict=True):
            expected = record_name(lines)
            if not record.key.endswith(f"/{expected}"):
                raise TrialLogCorruptError(
                    f"the trial log must go on with object {expected} but goes on with {record.key}"
                )
            joined += content
            lines += content.count(b"\n")
    return bytes(joined)


@final
class BucketMirror(AbstractMirror):
    """Objects below a place, as files below a folder.

    Args:
        store: The bucket.
        place: What stands for `root`.
        root: An absolute folder of this machine.
    """

    def __init__(self, store: ObjectStore, place: BucketPlace, root: Path) -> None:
        self._store = store
        self._place = place
        self._root = root
        self._known: dict[str, str] = {}
        """Key → etag of what this process has stored or fetched."""
        self._logs: dict[Path, list[StoredObject]] = {}
        """Trial log → the objects that its local file was made of."""

    @override
    def publish(self, content: Path, path: Path) -> None:
        key = self._key(path)
        self._known[key] = self._store.upload(content, key)

    @override
    def remove(self, path: Path) -> None:
        key = self._key(path)
        inside = [stored.key for stored in self._store.list_objects(f"{key}/")]
        self._store.delete([*inside, key])
        for gone in (*inside, key):
            self._known.pop(gone, None)

    @override
    def fetch(self, paths: Iterable[Path]) -> None:
        keys = [self._key(path) for path in paths]
        for folder in sorted({self._folder_of(key) for key in keys}):
            there = {stored.key: stored for stored in self._store.list_objects(f"{folder}/")}
            known = {key for key in self._known if key.startswith(f"{folder}/")}
            self._forget(known - there.keys())
            self._download(
                stored
                for stored in there.values()
                if any(_is_named(stored.key, key) for key in keys)
            )

    def fetch_all(self, folder: Path, *, but: tuple[str, ...]) -> None:
        """Bring all files of a folder, but those with one of these parts in their names.

        Args:
            folder: At or below the root.
            but: Parts of keys, such as `/logs/`.
        """
        prefix = self._key(folder)
        self._download(
            stored
            for stored in self._store.list_objects(f"{prefix}/")
            if not any(part in stored.key.removeprefix(prefix) for part in but)
        )

    @override
    def list_folders(self, folder: Path) -> set[str]:
        return set(self._store.list_folders(f"{self._key(folder)}/"))

    @override
    def fetch_log(self, path: Path) -> None:
        records = list(self._store.list_objects(f"{self._key(path)}/"))
        if self._logs.get(path) == records:
            return
        if records:
            self._write(path, join_records(self._store, records))
            written = max(record.changed for record in records).timestamp()
            os.utime(path, (written, written))
        else:
            path.unlink(missing_ok=True)
        self._logs[path] = records

    @override
    def append_log(self, path: Path, sequence: int, line: bytes) -> None:
        key = f"{self._key(path)}/{record_name(sequence)}"
        try:
            self._store.write(key, line, if_tag=ABSENT)
        except FileExistsError as error:
            # This process itself may have stored it and not heard the answer.
            if self._store.read(key)[0] != line:
                raise FencedError(
                    f"record {sequence} of the trial log must be this attempt's but {key} holds"
                    " another: a second driver works in this attempt"
                ) from error

    def _key(self, path: Path) -> str:
        return self._place.key(path.relative_to(self._root).as_posix())

    def _folder_of(self, key: str) -> str:
        """Return the folder that is listed to find what a key names."""
        parts = key.removeprefix(self._place.key("")).split("/")
        depth = min(_LISTED_DEPTH, max(1, len(parts) - 1))
        return self._place.key("/".join(parts[:depth]))

    def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._path(key).unlink(missing_ok=True)
            self._known.pop(key, None)

    def _download(self, objects: Iterable[StoredObject]) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(self._download_one, list(self._find_new(objects))):
                pass

    def _find_new(self, objects: Iterable[StoredObject]) -> Iterator[StoredObject]:
        for stored in objects:
            has_it = self._known.get(stored.key) == stored.etag
            if not has_it or not self._path(stored.key).exists():
                yield stored

    def _download_one(self, stored: StoredObject) -> None:
        path = self._path(stored.key)
        temporary = _name_temporary(path)
        try:
            etag = self._store.download(stored.key, temporary)
            temporary.replace(path)
        except FileNotFoundError:
            return  # deleted since it was listed
        finally:
            temporary.unlink(missing_ok=True)
        self._known[stored.key] = etag

    def _write(self, path: Path, content: bytes) -> None:
        temporary = _name_temporary(path)
        temporary.write_bytes(content)
        temporary.replace(path)

    def _path(self, key: str) -> Path:
        return self._root / key.removeprefix(self._place.key(""))


def _is_named(key: str, named: str) -> bool:
    """Return whether a key lies at or below a named one, or is a companion of it."""
    own, other = PurePosixPath(named), PurePosixPath(key)
    is_companion = bool(own.suffix) and other.with_suffix("") == own.with_suffix("")
    return key == named or key.startswith(f"{named}/") or is_companion


def _name_temporary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
