"""Answers for KubeRay: each RayJob that is made begins to start, and stays there.

Used by the benchmark of operators, so that ours does not complain of a KubeRay that is not there.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.access import Cluster
from cluster.api import ApiRefusedError

__all__ = ["playing_kuberay"]

_STATUS = {"status": {"jobDeploymentStatus": "Initializing", "jobStatus": ""}}
_WATCH_SECONDS = 3600


@contextmanager
def playing_kuberay(cluster: Cluster, namespace: str) -> Iterator[None]:
    """Play KubeRay in a thread while the context is open."""
    is_over = threading.Event()
    thread = threading.Thread(target=_play, args=(cluster, namespace, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()


def _play(cluster: Cluster, namespace: str, is_over: threading.Event) -> None:
    while not is_over.is_set():
        try:
            for event in cluster.api.watch("RayJob", namespace, _WATCH_SECONDS):
                _answer(cluster, namespace, event["object"])
        except (OSError, http.client.HTTPException, ApiRefusedError):
            # Nothing happened for a while, or the server has gone: the run is over then.
            is_over.wait(1)


def _answer(cluster: Cluster, namespace: str, rayjob: dict[str, object]) -> None:
    metadata = rayjob["metadata"]
    if not rayjob.get("status") and isinstance(metadata, dict):
        name = str(metadata["name"])
        cluster.api.patch("RayJob", name, _STATUS, namespace, subresource="/status")
