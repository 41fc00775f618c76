"""What the watches have told: the last seen version of every job and child, as raw JSON.

The handlers fill it, `resync` corrects it, `observe` reads it. Answers to the operator's own writes
are put in too, so a pass sees what the one before it did although no event came yet.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trimtab_api.labels import LABEL_JOB, LABEL_JOB_UID
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, ApiKind

__all__ = ["JobKey", "WatchCache", "is_newer", "owning_job"]

Json = Mapping[str, Any]


class JobKey(NamedTuple):
    """Which job."""

    namespace: str
    name: str


class _ObjectKey(NamedTuple):
    namespace: str
    name: str


class WatchCache:
    """Objects by kind and name, and children by the job that they belong to."""

    def __init__(self) -> None:
        self._objects: dict[ApiKind, dict[_ObjectKey, Json]] = {}
        self._children: dict[str, set[tuple[ApiKind, _ObjectKey]]] = {}
        self._absent: set[ApiKind] = set()

    def set_served(self, kind: ApiKind, *, is_served: bool) -> None:
        """Remember whether the API server knows a kind."""
        if is_served:
            self._absent.discard(kind)
        else:
            self._absent.add(kind)

    def is_served(self, kind: ApiKind) -> bool:
        """Return whether the API server knows a kind, as far as we know."""
        return kind not in self._absent

    def put(self, kind: ApiKind, document: Json) -> bool:
        """Keep an object, unless a later version of it is known.

        Returns:
            Whether it is news.
        """
        objects = self._objects.setdefault(kind, {})
        key = _key_of(document)
        known = objects.get(key)
        if known is not None and not is_newer(document, known):
            return False
        if known is not None:
            self._unlink(kind, key, known)
        objects[key] = _without_field_owners(document)
        uid = _job_uid(document)
        if uid is not None:
            self._children.setdefault(uid, set()).add((kind, key))
        return True

    def remove(self, kind: ApiKind, document: Json) -> None:
        """Forget an object that is gone, unless another one has taken its name."""
        key = _key_of(document)
        known = self._objects.get(kind, {}).get(key)
        if known is not None and known["metadata"]["uid"] == document["metadata"]["uid"]:
            del self._objects[kind][key]
            self._unlink(kind, key, known)

    def find(self, kind: ApiKind, namespace: str, name: str) -> Json | None:
        """Return an object, or None."""
        return self._objects.get(kind, {}).get(_ObjectKey(namespace, name))

    def children_of(self, uid: str) -> Iterator[tuple[ApiKind, Json]]:
        """Yield the children of a job with their kinds."""
        for kind, key in sorted(
            self._children.get(uid, ()), key=lambda entry: (entry[0].name, entry[1])
        ):
            yield kind, self._objects[kind][key]

    def all_of(self, kind: ApiKind) -> tuple[Json, ...]:
        """Return the objects of a kind."""
        return tuple(self._objects.get(kind, {}).values())

    def jobs(self) -> Iterator[JobKey]:
        """Yield the keys of all jobs."""
        for key in tuple(self._objects.get(OPTIMIZATION_JOB, {})):
            yield JobKey(*key)

    def _unlink(self, kind: ApiKind, key: _ObjectKey, document: Json) -> None:
        uid = _job_uid(document)
        if uid is None:
            return
        children = self._children.get(uid, set())
        children.discard((kind, key))
        if not children:
            self._children.pop(uid, None)


def owning_job(document: Json) -> JobKey | None:
    """Return the job that a child belongs to by its labels; None where it has none."""
    metadata = document["metadata"]
    name = (metadata.get("labels") or {}).get(LABEL_JOB)
    return JobKey(metadata["namespace"], name) if name else None


def is_newer(document: Json, known: Json) -> bool:
    """Return whether a document tells more than a known one of the same name.

    Versions of one object are decimal numbers that grow; an old one can come again when a watch
    starts anew. Another object under the same name is always news.
    """
    ours, theirs = document["metadata"], known["metadata"]
    if ours["uid"] != theirs["uid"]:
        return True
    version, other = str(ours["resourceVersion"]), str(theirs["resourceVersion"])
    if version.isdecimal() and other.isdecimal():
        return int(version) > int(other)
    return version != other


def _key_of(document: Json) -> _ObjectKey:
    metadata = document["metadata"]
    return _ObjectKey(metadata["namespace"], metadata["name"])


def _without_field_owners(document: Json) -> Json:
    """Leave out what is half of a small object and is never looked at."""
    metadata = {k: v for k, v in document["metadata"].items() if k != "managedFields"}
    return {**document, "metadata": metadata}


def _job_uid(document: Json) -> str | None:
    labels = document["metadata"].get("labels") or {}
    uid = labels.get(LABEL_JOB_UID)
    return None if uid is None else str(uid)
