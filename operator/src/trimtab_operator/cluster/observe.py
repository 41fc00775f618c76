"""Everything about one job in one `Observed`: from the watches' cache, or read anew.

Called by the reconciler. The cache is good enough to see that nothing is to be done; before a write
the job, its attempts, their pods and what the write would touch are read from the API server.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab_api.labels import LABEL_JOB_UID
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.claims import ClaimBook
from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import ForbiddenError, NotFoundError
from trimtab_operator.cluster.kinds import (
    CONFIG_MAP,
    JOB,
    OPTIMIZATION_JOB,
    POD,
    RAY_JOB,
    ApiKind,
    find_kind,
)
from trimtab_operator.cluster.reports import KeptReport, ReportReading, go_on_from, read_report
from trimtab_operator.reconcile.actions import Kind
from trimtab_operator.reconcile.observed import JobView, Observed, silence_key
from trimtab_operator.reconcile.views import (
    read_job,
    read_object,
    read_pod,
    read_rayjob,
    read_target_job,
)
from trimtab_operator.resources.names import parse_attempt, report_name
from trimtab_operator.resources.places import list_claims, storage_uri

__all__ = ["Observer", "Sighting"]

Json = Mapping[str, Any]
ObjectId = tuple[str, str]

_KUBERAY_MISSING = (
    "the API server knows no rayjobs.ray.io/v1: install KubeRay 1.6 or later; the job starts then"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen, and what a write needs besides.

    Attributes:
        observed: For the planner.
        uids: Of the objects that there are, by kind and name.
        stale: Why a report was dropped as old or foreign; None where none was.
        forbidden: What the operator may not read; by such a sighting nothing is written but a
            status that says so.
    """

    observed: Observed
    uids: Mapping[ObjectId, str]
    stale: str | None = None
    forbidden: ForbiddenError | None = None


@dataclass(slots=True)
class _Memory:
    """What one pass leaves for the next; lost with the process."""

    uid: str
    progress: KeptReport | None = None
    silence: tuple[str, ...] = ()
    silent_since: float = 0.0


class Observer:
    """Looks at jobs. One for the whole process."""

    def __init__(
        self,
        client: Client,
        cache: WatchCache,
        claims: ClaimBook,
        *,
        storage_default: str | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cache = cache
        self._claims = claims
        self._storage_default = storage_default
        self._monotonic = monotonic
        self._memory: dict[JobKey, _Memory] = {}

    async def observe(self, key: JobKey) -> Sighting | None:
        """Return what the watches told of a job; None where it is gone.

        Raises:
            ClusterError: Where a claim could not be looked up.
        """
        document = self._cache.find(OPTIMIZATION_JOB, *key)
        if document is None:
            return None
        children = self._cache.children_of(document["metadata"]["uid"])
        return await self._sight(key, document, children)

    async def observe_anew(self, key: JobKey, touched: Iterable[ObjectId]) -> Sighting | None:
        """Return what the API server says of a job; None where it is gone.

        Args:
            key: Which job.
            touched: Kinds and names of what is about to be written: read whoever owns them.

        Raises:
            ClusterError: Where something could not be read.
        """
        strangers: list[tuple[ApiKind, Json]] = []
        forbidden: ForbiddenError | None = None
        try:
            strangers = await self._refresh(key, touched)
        except ForbiddenError as error:
            forbidden = error
        document = self._cache.find(OPTIMIZATION_JOB, *key)
        if document is None:
            return None
        children = [*self._cache.children_of(document["metadata"]["uid"]), *strangers]
        return await self._sight(key, document, children, forbidden)

    async def _refresh(
        self, key: JobKey, touched: Iterable[ObjectId]
    ) -> list[tuple[ApiKind, Json]]:
        """Read into the cache, and return what has the name of a child and is none."""
        await self._read(OPTIMIZATION_JOB, key.namespace, key.name)
        document = self._cache.find(OPTIMIZATION_JOB, *key)
        if document is None:
            return []
        uid = document["metadata"]["uid"]
        for kind in (RAY_JOB, POD):
            await self._list(kind, key.namespace, uid)
        # No watch waits for another: a driver's last words may come after the end of its RayJob.
        report = (CONFIG_MAP.name, report_name(key.name))
        strangers: list[tuple[ApiKind, Json]] = []
        for name_of_kind, name in sorted({report, *touched, *self._unlisted_rayjobs(key, uid)}):
            kind = find_kind(name_of_kind)
            if kind is OPTIMIZATION_JOB or not self._cache.is_served(kind):
                continue
            known = self._cache.find(kind, key.namespace, name)
            if kind is RAY_JOB and known is not None and _label_uid(known) == uid:
                continue  # it was in the list
            found = await self._read(kind, key.namespace, name)
            if found is not None and _label_uid(found) != uid:
                strangers.append((kind, found))
        return strangers

    def _unlisted_rayjobs(self, key: JobKey, uid: str) -> Iterator[ObjectId]:
        """Yield the RayJobs that are in no list although their attempt left its ConfigMap.

        Most are gone; one whose labels were edited is not, and its driver runs.
        """
        children = tuple(self._cache.children_of(uid))
        listed = {child["metadata"]["name"] for child in _of(RAY_JOB, children)}
        for config in _of(CONFIG_MAP, children):
            name = str(config["metadata"]["name"])
            if name not in listed and parse_attempt(key.name, name) is not None:
                yield RAY_JOB.name, name

    def forget(self, key: JobKey) -> None:
        """Drop what is remembered of a job that is gone."""
        self._memory.pop(key, None)

    async def _read(self, kind: ApiKind, namespace: str, name: str) -> Json | None:
        known = self._cache.find(kind, namespace, name)
        try:
            document = await self._client.read(kind, namespace, name)
        except NotFoundError:
            if known is not None:
                self._cache.remove(kind, known)
            return None
        if kind is OPTIMIZATION_JOB or _label_uid(document) is not None:
            self._cache.put(kind, document)
        return document

    async def _list(self, kind: ApiKind, namespace: str, uid: str) -> None:
        """Take over what there is of a kind, and drop what is no longer there."""
        known = [child for owned, child in self._cache.children_of(uid) if owned is kind]
        try:
            listed = await self._client.list_children(kind, namespace, f"{LABEL_JOB_UID}={uid}")
        except NotFoundError:
            self._cache.set_served(kind, is_served=False)
            listed = []
        else:
            self._cache.set_served(kind, is_served=True)
        names = {child["metadata"]["name"] for child in listed}
        for child in known:
            if child["metadata"]["name"] not in names:
                self._cache.remove(kind, child)
        for child in listed:
            self._cache.put(kind, child)

    async def _sight(
        self,
        key: JobKey,
        document: Json,
        children: Iterable[tuple[ApiKind, Json]],
        forbidden: ForbiddenError | None = None,
    ) -> Sighting:
        job = read_job(document)
        memory = self._recall(key, job.meta.uid)
        by_kind = tuple(children)
        own = tuple(entry for entry in by_kind if _is_child(entry[1], job.meta.uid))
        rayjobs = tuple(read_rayjob(child) for child in _of(RAY_JOB, own))
        newest = max((rayjob.attempt for rayjob in rayjobs), default=0)
        newest = max(newest, job.previous.attempt or 0 if job.previous else 0)
        reading = _read_report(job, own, newest, memory.progress)
        memory.progress = reading.kept
        claims = self._name_claims(job.job)
        try:
            claims = await self._find_claims(key.namespace, claims)
        except ForbiddenError as error:
            # Nobody knows that they are missing, so nobody says so.
            forbidden = error
        observed = Observed(
            now=self._client.clock.now(),
            job=job,
            rayjobs=rayjobs,
            pods=tuple(read_pod(child) for child in _of(POD, own)),
            # KubeRay's submitter is a Job too, but measures nothing.
            target_jobs=tuple(
                view for view in (read_target_job(child) for child in _of(JOB, own)) if view.target
            ),
            objects={
                (Kind(kind.name), view.meta.name): view
                for kind, child in by_kind
                if kind not in _VIEWED_APART or not _is_child(child, job.meta.uid)
                for view in (read_object(child),)
            },
            claims=claims,
            kuberay_problem=None if self._cache.is_served(RAY_JOB) else _KUBERAY_MISSING,
            report=reading.view,
            silent_seconds=self._measure_silence(memory, silence_key(rayjobs, reading.view)),
        )
        uids = {
            (kind.name, child["metadata"]["name"]): child["metadata"]["uid"]
            for kind, child in by_kind
        }
        return Sighting(observed=observed, uids=uids, stale=reading.stale, forbidden=forbidden)

    def _recall(self, key: JobKey, uid: str) -> _Memory:
        """Return the memory of a job; a job that was made anew has none."""
        memory = self._memory.get(key)
        if memory is None or memory.uid != uid:
            memory = self._memory[key] = _Memory(uid)
        return memory

    def _name_claims(self, job: OptimizationJob | None) -> frozenset[str]:
        if job is None:
            return frozenset()
        return frozenset(list_claims(job.spec, storage_uri(job.spec, self._storage_default)))

    async def _find_claims(self, namespace: str, names: frozenset[str]) -> frozenset[str]:
        exists = self._claims.exists
        return frozenset([name for name in sorted(names) if await exists(namespace, name)])

    def _measure_silence(self, memory: _Memory, silence: tuple[str, ...]) -> float:
        now = self._monotonic()
        if silence != memory.silence:
            memory.silence, memory.silent_since = silence, now
        return now - memory.silent_since


_VIEWED_APART = frozenset({RAY_JOB, POD, JOB})


def _read_report(
    job: JobView, own: Iterable[tuple[ApiKind, Json]], newest: int, last: KeptReport | None
) -> ReportReading:
    name = report_name(job.meta.name)
    data = next(
        (
            child.get("data") or {}
            for child in _of(CONFIG_MAP, own)
            if child["metadata"]["name"] == name
        ),
        None,
    )
    if data is None or job.job is None:
        return go_on_from(last)
    targets = tuple(target.name for target in job.job.spec.targets if target.node_selector)
    return read_report(data, uid=job.meta.uid, targets=targets, newest=newest, last=last)


def _of(kind: ApiKind, children: Iterable[tuple[ApiKind, Json]]) -> Iterator[Json]:
    return (child for other, child in children if other is kind)


def _is_child(document: Json, uid: str) -> bool:
    """Return whether an object is a job's by its label, or by its controller where that is gone."""
    owners = document["metadata"].get("ownerReferences") or ()
    return _label_uid(document) == uid or any(
        owner.get("controller") and owner["uid"] == uid for owner in owners
    )


def _label_uid(document: Json) -> str | None:
    labels = document["metadata"].get("labels") or {}
    uid = labels.get(LABEL_JOB_UID)
    return None if uid is None else str(uid)
