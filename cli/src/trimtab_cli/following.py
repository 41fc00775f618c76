"""A job from now until it ends, one snapshot per change.

Called by `trimtab status --watch`. A watch that the server ends, or a connection that breaks, is
taken up again; only what no waiting mends ends it.
"""

from collections.abc import Callable, Iterator
from typing import Any

from trimtab_cli.access import (
    AbstractCluster,
    ConnectionFailedError,
    Manifest,
    NotFoundError,
    job_path,
)

__all__ = ["follow_job"]

_SERVER_SECONDS = 300
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


def follow_job(
    cluster: AbstractCluster, name: str, *, pause: Callable[[float], None]
) -> Iterator[Manifest]:
    """Yield a job as it is, and again at each change. The caller decides when to stop.

    Args:
        cluster: Where it is.
        name: The job's.
        pause: Waits for some seconds before a lost connection is taken up again.

    Raises:
        NotFoundError: There is no such job, or it was deleted meanwhile.
        ClusterError: The cluster never answered, or does not allow this.
    """
    document, start = _list_once(cluster, name)
    yield document
    wait = _FIRST_PAUSE
    while True:
        try:
            for changed in _watch_once(cluster, name, start):
                wait = _FIRST_PAUSE
                document = changed
                yield document
            pause(_FIRST_PAUSE)
            # Events may have been missed in between: a list tells what is, and where to go on.
            again, start = _list_once(cluster, name)
        except ConnectionFailedError:
            pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE)
            continue
        if _version(again) != _version(document):
            document = again
            yield document


def _list_once(cluster: AbstractCluster, name: str) -> tuple[Manifest, str]:
    """Return a job and the version to watch from; the job's own may be too old by now."""
    answer = cluster.read(_path(cluster, name))
    items = answer.get("items") or []
    if not items:
        # The answer to this names what is missing: the job, or the kind.
        return cluster.read(job_path(cluster.namespace, name)), ""
    return items[0], _version(answer)


def _watch_once(cluster: AbstractCluster, name: str, start: str) -> Iterator[Manifest]:
    query = f"&watch=true&resourceVersion={start}&timeoutSeconds={_SERVER_SECONDS}"
    for event in cluster.watch(_path(cluster, name) + query):
        document: Any = event.get("object")
        match event.get("type"):
            case "ADDED" | "MODIFIED" if isinstance(document, dict):
                yield document
            case "DELETED":
                raise NotFoundError(f"{name} was deleted")
            case "ERROR":
                return
            case _:
                continue


def _path(cluster: AbstractCluster, name: str) -> str:
    kind = job_path(cluster.namespace, "").rstrip("/")
    return f"{kind}?fieldSelector=metadata.name={name}"


def _version(document: Manifest) -> str:
    return str(document.get("metadata", {}).get("resourceVersion", ""))
