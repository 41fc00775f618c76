"""What the watches have told: the last seen version of every job and child, as raw JSON.

The handlers fill it, `resync` corrects it, `observe` reads it. Answers to the operator's own writes
are put in too, so a pass sees what the one before it did although no event came yet. Documents are
kept packed, which takes a small part of the memory, and unpacked for who looks. Objects of a kind
are much alike, so the first one serves as the dictionary of the others.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple

from trimtab_api.labels import LABEL_JOB, LABEL_JOB_UID
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, ApiKind

__all__ = ["JobKey", "WatchCache", "owning_job"]

Json = Mapping[str, Any]

# zlib looks back no further.
_WINDOW = 32_768


class JobKey(NamedTuple):
    """Which job."""

    namespace: str
    name: str


class _ObjectKey(NamedTuple):
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A document, with what is asked without looking into it."""

    uid: str
    version: str
    job_uid: str | None
    is_written: bool
    packed: bytes
    model: bytes

    def unpack(self) -> Json:
        unpacker = zlib.decompressobj(zdict=self.model)
        document: Json = json.loads(unpacker.decompress(self.packed) + unpacker.flush())
        return document


class WatchCache:
    """Objects by kind and name, and children by the job that they belong to."""

    def __init__(self) -> None:
        self._objects: dict[ApiKind, dict[_ObjectKey, _Kept]] = {}
        self._children: dict[str, set[tuple[ApiKind, _ObjectKey]]] = {}
        self._absent: set[ApiKind] = set()
        self._models: dict[ApiKind, bytes] = {}

    def set_served(self, kind: ApiKind, *, is_served: bool) -> None:
        """Remember whether the API server knows a kind."""
        if is_served:
            self._absent.discard(kind)
        else:
            self._absent.add(kind)

    def is_served(self, kind: ApiKind) -> bool:
        """Return whether the API server knows a kind, as far as we know."""
        return kind not in self._absent

    def put(self, kind: ApiKind, document: Json, *, is_written: bool = False) -> bool:
        """Keep an object, unless a later version of it is known.

        Args:
            kind: Of the object.
            document: The object.
            is_written: Whether it is the answer to a write of ours.

        Returns:
            Whether it is news.
        """
        objects = self._objects.setdefault(kind, {})
        key = _key_of(document)
        known = objects.get(key)
        if known is not None and not _is_newer(document, known):
            return False
        if known is not None:
            self._unlink(kind, key, known)
        text = _write(document)
        model = self._models.setdefault(kind, text[-_WINDOW:])
        kept = objects[key] = _keep(document, text, model, is_written=is_written)
        if kept.job_uid is not None:
            self._children.setdefault(kept.job_uid, set()).add((kind, key))
        return True

    def remove(self, kind: ApiKind, document: Json) -> None:
        """Forget an object that is gone, unless another one has taken its name."""
        key = _key_of(document)
        known = self._objects.get(kind, {}).get(key)
        if known is not None and known.uid == document["metadata"]["uid"]:
            del self._objects[kind][key]
            self._unlink(kind, key, known)

    def find(self, kind: ApiKind, namespace: str, name: str) -> Json | None:
        """Return an object, or None."""
        kept = self._objects.get(kind, {}).get(_ObjectKey(namespace, name))
        return None if kept is None else kept.unpack()

    def children_of(self, uid: str) -> Iterator[tuple[ApiKind, Json]]:
        """Yield the children of a job with their kinds."""
        for kind, key in sorted(
            self._children.get(uid, ()), key=lambda entry: (entry[0].name, entry[1])
        ):
            yield kind, self._objects[kind][key].unpack()

    def is_echo(self, kind: ApiKind, document: Json) -> bool:
        """Return whether an object is just what a write of ours has made of it."""
        kept = self._objects.get(kind, {}).get(_key_of(document))
        return (
            kept is not None
            and kept.is_written
            and kept.version == str(document["metadata"]["resourceVersion"])
        )

    def versions_of(self, kind: ApiKind) -> dict[tuple[str, str], str]:
        """Return the version of each object of a kind, by namespace and name."""
        kept = self._objects.get(kind, {})
        return {(key.namespace, key.name): entry.version for key, entry in kept.items()}

    def jobs(self) -> Iterator[JobKey]:
        """Yield the keys of all jobs."""
        for key in tuple(self._objects.get(OPTIMIZATION_JOB, {})):
            yield JobKey(*key)

    def _unlink(self, kind: ApiKind, key: _ObjectKey, kept: _Kept) -> None:
        if kept.job_uid is None:
            return
        children = self._children.get(kept.job_uid, set())
        children.discard((kind, key))
        if not children:
            self._children.pop(kept.job_uid, None)


def owning_job(document: Json) -> JobKey | None:
    """Return the job that a child belongs to by its labels; None where it has none."""
    metadata = document["metadata"]
    name = (metadata.get("labels") or {}).get(LABEL_JOB)
    return JobKey(metadata["namespace"], name) if name else None


def _is_newer(document: Json, known: _Kept) -> bool:
    """Return whether a document tells more than a known one of the same name.

    Versions of one object are decimal numbers that grow; an old one can come again when a watch
    starts anew. Another object under the same name is always news.
    """
    metadata = document["metadata"]
    if metadata["uid"] != known.uid:
        return True
    version = str(metadata["resourceVersion"])
    if version.isdecimal() and known.version.isdecimal():
        return int(version) > int(known.version)
    return version != known.version


def _key_of(document: Json) -> _ObjectKey:
    metadata = document["metadata"]
    return _ObjectKey(intern(metadata["namespace"]), metadata["name"])


def _write(document: Json) -> bytes:
    # The owners of fields are half of a small object, and never looked at.
    metadata = {k: v for k, v in document["metadata"].items() if k != "managedFields"}
    return json.dumps({**document, "metadata": metadata}, separators=(",", ":")).encode()


def _keep(document: Json, text: bytes, model: bytes, *, is_written: bool) -> _Kept:
    packer = zlib.compressobj(level=1, zdict=model)
    metadata = document["metadata"]
    return _Kept(
        uid=str(metadata["uid"]),
        version=str(metadata["resourceVersion"]),
        job_uid=_job_uid(document),
        is_written=is_written,
        packed=packer.compress(text) + packer.flush(),
        model=model,
    )


def _job_uid(document: Json) -> str | None:
    labels = document["metadata"].get("labels") or {}
    uid = labels.get(LABEL_JOB_UID)
    # All children of a job name it: one text does for them.
    return None if uid is None else intern(str(uid))
