"""The watches checked against lists, so that a lost event costs one period and no more.

A list of metadata shows which objects differ from what the watches told; only those are read. Kinds
of which changes are missed again and again while no event comes have a dead watch, for the liveness
probe to know.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab_operator.cluster.cache import JobKey, WatchCache, owning_job
from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import ClusterError, NotFoundError
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, WATCHED_KINDS, ApiKind

__all__ = ["Resync"]


@dataclass(slots=True)
class _Span:
    """The first and the last time that changes were missed."""

    first: float
    last: float


class Resync:
    """Compares, repairs, and remembers for how long each watch has been missing changes.

    Without namespaces, all of them are compared.
    """

    def __init__(
        self,
        client: Client,
        cache: WatchCache,
        *,
        namespaces: Sequence[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cache = cache
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)
        self._monotonic = monotonic
        self._missing: dict[ApiKind, _Span] = {}
        self._places = tuple(itertools.product(WATCHED_KINDS, self._namespaces))
        self._current = dict.fromkeys(self._places, monotonic())
        """When each watch was last seen to be current."""
        self.failures: list[ClusterError] = []
        """Why kinds were not compared the last time."""

    def note_event(self, kind: ApiKind, namespace: str) -> None:
        """Learn that the watch of a kind is alive, by an event about an object of a namespace."""
        place = None if None in self._namespaces else namespace
        self._current[kind, place] = self._monotonic()
        self._missing.pop(kind, None)

    def blind_seconds(self) -> float:
        """Return for how long the worst watch has been missing changes; 0 where none is."""
        return max((span.last - span.first for span in self._missing.values()), default=0.0)

    def watch_ages(self) -> dict[str, float]:
        """Return how long ago the watches of each resource were all current; safe in any thread."""
        now, ages = self._monotonic(), dict.fromkeys((k.resource for k in WATCHED_KINDS), 0.0)
        for kind, namespace in self._places:
            age = now - self._current[kind, namespace]
            ages[kind.resource] = max(age, ages[kind.resource])
        return ages

    async def run(self) -> frozenset[JobKey]:
        """Return the jobs of which something had changed unseen: all where a kind came or went.

        What cannot be read now, such as a kind, does not keep the rest from being compared.

        Raises:
            ClusterError: Where nothing could be read.
        """
        changed: set[JobKey] = set()
        self.failures = failures = list[ClusterError]()
        for kind, namespace in self._places:
            was_served = self._cache.is_served(kind)
            try:
                missed = await self._compare(kind, namespace)
            except ClusterError as error:
                failures.append(error)
                continue
            if self._cache.is_served(kind) is not was_served:
                changed |= set(self._cache.jobs())
            elif missed:
                now = self._monotonic()
                self._missing.setdefault(kind, _Span(now, now)).last = now
            else:
                self._current[kind, namespace] = self._monotonic()
            changed |= missed
        if len(failures) == len(self._places):
            raise failures[0]
        return frozenset(changed)

    async def _compare(self, kind: ApiKind, namespace: str | None) -> set[JobKey]:
        try:
            versions = await self._client.list_versions(kind, namespace)
        except NotFoundError:
            # The kind is not served, or no longer: whatever there was of it is gone.
            self._cache.set_served(kind, is_served=False)
            versions = {}
        else:
            self._cache.set_served(kind, is_served=True)
        for key, version in self._cache.versions_of(kind).items():
            if namespace not in {None, key[0]}:
                continue
            if versions.get(key) == version:
                del versions[key]
            else:
                versions.setdefault(key, "")
        missed: set[JobKey] = set()
        for place, name in sorted(versions):
            missed |= await self._read(kind, place, name)
        return missed

    async def _read(self, kind: ApiKind, namespace: str, name: str) -> set[JobKey]:
        """Take over what the server has now, and return whose object it is if that is news."""
        known = self._cache.find(kind, namespace, name)
        try:
            document = await self._client.read(kind, namespace, name)
        except NotFoundError:
            # The watch may have told it meanwhile.
            if known is None or self._cache.find(kind, namespace, name) != known:
                return set()
            self._cache.remove(kind, known)
            document = dict(known)
        else:
            if not self._cache.put(kind, document):
                return set()
        if kind is OPTIMIZATION_JOB:
            return {JobKey(namespace, name)}
        job = owning_job(document)
        return set() if job is None else {job}
