"""Data and weights of a bucket, as files of this machine.

Called by whatever loads what the manifest names by a URI. What was downloaded is shared by the
processes of the machine and used again while the bucket holds the same; the folder and its
removal are the caller's. What the files mean is the loader's.
"""

import fcntl
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath

from trimtab_trainer.errors import UserError
from trimtab_trainer.storage.filesystem import read_json, remove, write_json
from trimtab_trainer.storage.objects import ObjectStore, StoredObject, read_access
from trimtab_trainer.storage.uris import BucketPlace, parse_bucket, resolve_uri

__all__ = ["localize"]

_THREADS = 16


def localize(uri: str, *, data_root: Path, downloads: Path | None, prefix: str) -> Path:
    """Return the local file or folder that a URI stands for, downloaded if it is in a bucket.

    Args:
        uri: `pvc://claim/path`, `s3://bucket/key` or `file:///absolute/path`.
        data_root: Holds one folder per claim.
        downloads: Where objects go; without it a bucket is refused.
        prefix: Of the environment's variables that hold the keys to the bucket.

    Raises:
        UserError: The URI has another form, or an object's key is no name of a file.
        FileNotFoundError: The bucket has no such object and nothing below the key.
        OSError: The object store refuses or does not answer, or the local disk is full.
    """
    place = parse_bucket(uri)
    if place is None or downloads is None:
        return resolve_uri(uri, data_root=data_root)
    store = ObjectStore(place.bucket, read_access(prefix))
    objects = _find_objects(store, place)
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    folder = downloads / name
    folder.mkdir(parents=True, exist_ok=True)
    with (downloads / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _update(store, objects, folder, downloads / f"{name}.json")
    (first, *_) = objects
    return folder / first if objects[first].key == place.prefix else folder


def _find_objects(store: ObjectStore, place: BucketPlace) -> dict[str, StoredObject]:
    """Return what lies at or below a place, by name below it; of one object, its own name."""
    found = {}
    for stored in store.list_objects(place.prefix):
        if stored.key == place.prefix:
            return {PurePosixPath(stored.key).name: stored}
        name = stored.key.removeprefix(place.key(""))
        if stored.key.startswith(place.key("")) and not name.endswith("/"):
            found[_refuse_strange(name)] = stored
    if not found:
        raise FileNotFoundError(2, "there is no object", f"s3://{place.bucket}/{place.prefix}")
    return found


def _refuse_strange(name: str) -> str:
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise UserError(f"keys below an s3:// URI must be names of files but one is {name!r}")
    return name


def _update(
    store: ObjectStore, objects: dict[str, StoredObject], folder: Path, manifest: Path
) -> None:
    wanted = {name: stored.etag for name, stored in objects.items()}
    there: dict[str, str] = {}
    with suppress(ValueError):
        there = read_json(manifest) or {}
    if there == wanted:
        return
    for name in there.keys() - wanted.keys():
        remove(folder / name)
    new = (name for name, etag in wanted.items() if there.get(name) != etag)
    _download(store, ((objects[name], folder / name) for name in new))
    write_json(manifest, wanted)


def _download(store: ObjectStore, files: Iterable[tuple[StoredObject, Path]]) -> None:
    def download(file: tuple[StoredObject, Path]) -> None:
        stored, path = file
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(stored.key, path)

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(download, files):
            pass
