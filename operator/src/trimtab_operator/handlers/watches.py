"""What kopf's watches tell: every event goes into the cache and puts its job into the queue.

What the operator wrote itself comes back as events too; they tell nothing and cause nothing.
Indexing comes first, so that no pass starts before all lists are in; kopf's diffs, timers and
finalizers are not used. SEAM: with `process`, the only importer of kopf.
"""

from collections.abc import Mapping
from typing import Any

import kopf

from trimtab_operator.cluster.cache import JobKey, WatchCache, owning_job
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, WATCHED_KINDS, ApiKind
from trimtab_operator.cluster.resync import Resync
from trimtab_operator.handlers.workqueue import WorkQueue

__all__ = ["register_watches"]


def register_watches(
    registry: kopf.OperatorRegistry, cache: WatchCache, queue: WorkQueue, resync: Resync
) -> None:
    """Watch the jobs and all kinds of children."""
    for kind in WATCHED_KINDS:
        _register(registry, kind, cache, queue, resync)


def _register(
    registry: kopf.OperatorRegistry,
    kind: ApiKind,
    cache: WatchCache,
    queue: WorkQueue,
    resync: Resync,
) -> None:
    async def keep(body: kopf.Body, **_: Any) -> None:
        # Nothing is returned, so that kopf's own index stays empty.
        cache.put(kind, dict(body))

    async def enqueue(event: kopf.RawEvent, **_: Any) -> None:
        document = event["object"]
        resync.note_event(kind, document["metadata"]["namespace"])
        if event["type"] == "DELETED":
            cache.remove(kind, document)
        elif cache.is_echo(kind, document):
            return
        key = _key_of(kind, document)
        if key is not None:
            queue.add(key)

    selector = (kind.group, kind.version, kind.plural)
    kopf.index(*selector, id=f"keep-{kind.plural}", registry=registry)(keep)
    kopf.on.event(*selector, id=f"enqueue-{kind.plural}", registry=registry)(enqueue)


def _key_of(kind: ApiKind, document: Mapping[str, Any]) -> JobKey | None:
    if kind is not OPTIMIZATION_JOB:
        return owning_job(document)
    metadata = document["metadata"]
    return JobKey(metadata["namespace"], metadata["name"])
