"""Storage in a bucket: a local folder whose published files are objects as well.

Opened by `opening`. The fence is one object that is only replaced where nobody else replaced it
meanwhile; an attempt takes over the objects of the one before inside the store.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

from typing_extensions import override

from trimtab_trainer.errors import UserError
from trimtab_trainer.storage._base import (
    FENCE,
    IMPORTED,
    AbstractRunStorage,
    attempt_name,
    is_imported,
    parse_attempt,
    parse_fence,
    require_latest,
)
from trimtab_trainer.storage.bucket_mirror import BucketMirror, join_records, record_name
from trimtab_trainer.storage.mirror import attach_mirror
from trimtab_trainer.storage.objects import ABSENT, ObjectStore
from trimtab_trainer.storage.trial_log import LOG_NAME
from trimtab_trainer.storage.uris import BucketPlace

__all__ = ["BucketStorage"]

_THREADS = 8
_NOT_FOR_DRIVERS = (f"/{LOG_NAME}/", "/unfinished/", "/logs/", "/targets/")
"""Files that a driver does not need when it goes on; the log is read by itself."""


@final
class BucketStorage(AbstractRunStorage):
    """The objects of one job.

    Args:
        store: The bucket.
        place: Of the job's folder in it, `<namespace>/<name>/<uid>` below the storage root.
        scratch: The local folder that stands for the storage root, with all its jobs.

    Raises:
        UserError: The place is no job's folder.
    """

    def __init__(self, store: ObjectStore, place: BucketPlace, scratch: Path) -> None:
        *above, namespace, name, uid = ["", "", "", *place.prefix.split("/")]
        if not namespace:
            raise UserError(
                "storage must be of a job, <storage>/<namespace>/<name>/<uid>, but is"
                f" {place.prefix!r}"
            )
        self._store = store
        self._place = place
        self._scratch = scratch.absolute()
        self._root = self._scratch / namespace / name / uid
        storage = BucketPlace(place.bucket, "/".join(filter(None, above)))
        self._mirror = BucketMirror(store, storage, self._scratch)

    @property
    @override
    def root(self) -> Path:
        return self._root

    @override
    def attach(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        attach_mirror(self._scratch, self._mirror)

    @override
    def read_fence(self) -> int:
        return self._read_fence()[0]

    @override
    def raise_fence(self, attempt: int) -> None:
        content = json.dumps({"attempt": attempt}).encode()
        # What is compared and what is replaced must be the same: one reading gives both.
        fence, tag = self._read_fence()
        require_latest(attempt, fence)
        if fence == attempt:
            return
        try:
            self._store.write(self._place.key(FENCE), content, if_tag=tag)
        except FileExistsError:
            # Somebody else was faster, or this process did not hear the answer.
            self.check_fence(attempt)
            if self.read_fence() < attempt:
                raise

    def _read_fence(self) -> tuple[int, str]:
        try:
            content, tag = self._store.read(self._place.key(FENCE))
        except FileNotFoundError:
            return 0, ABSENT
        return parse_fence(json.loads(content)), tag

    @override
    def open_attempt(self, attempt: int) -> Path:
        folder = self.join_attempt(attempt)
        if not self._is_open(attempt):
            source = self._find_source(attempt)
            if source is not None:
                self._take_over(attempt_name(source), attempt_name(attempt))
            content = json.dumps({"from": source}).encode()
            self._store.write(self._key(attempt_name(attempt), IMPORTED), content)
        self._mirror.fetch_all(folder, but=_NOT_FOR_DRIVERS)
        self._mirror.fetch_log(folder / LOG_NAME)
        return folder

    @override
    def join_attempt(self, attempt: int) -> Path:
        folder = self._root / attempt_name(attempt)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _key(self, *parts: str) -> str:
        return self._place.key("/".join(parts))

    def _is_open(self, attempt: int) -> bool:
        key = self._key(attempt_name(attempt), IMPORTED)
        return any(stored.key == key for stored in self._store.list_objects(key))

    def _find_source(self, attempt: int) -> int | None:
        """Return the latest earlier attempt that has all of the one before."""
        names = self._store.list_folders(self._place.key(""))
        numbers = [number for name in names if (number := parse_attempt(name)) is not None]
        earlier = sorted((number for number in numbers if number < attempt), reverse=True)
        return next((number for number in earlier if self._is_open(number)), None)

    def _take_over(self, source: str, target: str) -> None:
        prefix = self._key(source, "")
        stored = {
            entry.key.removeprefix(prefix): entry for entry in self._store.list_objects(prefix)
        }
        log = {name for name in stored if name.startswith(f"{LOG_NAME}/")}
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(
                lambda name: self._copy(prefix + name, self._key(target, name)),
                filter(is_imported, stored.keys() - log),
            ):
                pass
        records = join_records(self._store, [stored[name] for name in sorted(log)])
        if records:
            # All of them as one object: the next attempt need not ask for each.
            self._store.write(self._key(target, LOG_NAME, record_name(0)), records)

    def _copy(self, key: str, target: str) -> None:
        try:
            self._store.copy(key, target)
        except FileNotFoundError:
            return  # a slot of the earlier attempt still lives and deleted it: not finished
