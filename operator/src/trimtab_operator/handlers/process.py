"""The operator as a process: kopf with its settings, the queue's workers, the resync, health.

Called by `__main__`. SEAM: with `watches`, the only importer of kopf, whose defaults are changed
where they are unsafe; each change has its reason beside it.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import kopf

from trimtab_api.labels import MANAGED_BY
from trimtab_operator.cluster.cache import WatchCache
from trimtab_operator.cluster.connection import Connection, load_connection
from trimtab_operator.cluster.errors import ClusterError
from trimtab_operator.cluster.kinds import CHILD_KINDS
from trimtab_operator.cluster.resync import Resync
from trimtab_operator.handlers.no_diffs import NoDiffs
from trimtab_operator.handlers.watches import register_watches
from trimtab_operator.handlers.workqueue import Backoff, WorkQueue
from trimtab_operator.telemetry.logs import get_logger

__all__ = ["Machinery", "build_kopf_settings", "build_registry", "check_health", "run_operator"]

logger = get_logger(__name__)

_WORKERS = 8
# A watch that is silent is opened anew by kopf; after twice that time it should not be blind.
_BLIND_FACTOR = 2.2
_PASS_LIMIT_SECONDS = 300.0
# A full look at all jobs, for what no event and no list shows.
_ROUNDS_PER_FULL_PASS = 20
# Watches that lasted so long were fine; those that fail so often in a row never will be.
_LASTING_SECONDS = 60.0
_MOST_FAILURES = 8
# Passes that are cut by the end of kopf have five of them; the kubelet waits for thirty in all.
_END_SECONDS = 8.0
_WATCH_BACKOFF = Backoff(first=1.0, longest=30.0)
_SPREAD = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machinery:
    """What the handlers feed."""

    cache: WatchCache
    queue: WorkQueue
    resync: Resync
    resync_seconds: float
    silence_seconds: float = 70.0
    """How long a watch may be silent, bookmarks included, before it is opened anew."""


async def run_operator(
    machinery: Machinery, *, health_port: int, namespaces: Sequence[str] = ()
) -> None:
    """Watch and reconcile until the process is told to stop; without namespaces, in all of them.

    Raises:
        Exception: What ended kopf too often, or a fault of the queue itself.
    """
    background = [
        asyncio.create_task(machinery.queue.run(_WORKERS)),
        asyncio.create_task(_resync_forever(machinery)),
    ]
    # kopf cancels what starts after it as its own; the workers start now.
    await asyncio.sleep(0)
    watching = asyncio.create_task(_watch_until_told(machinery, health_port, namespaces))
    try:
        done, _ = await asyncio.wait([watching, *background], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (watching, *background):
            task.cancel()
        await asyncio.wait([watching, *background])
    for task in done:
        task.result()


async def _watch_until_told(
    machinery: Machinery, health_port: int, namespaces: Sequence[str]
) -> None:
    """Run kopf, and again where an error of a watch ended it: that of a deleted kind, for one.

    What is known stays known meanwhile, and the passes go on.
    """
    # kopf names itself by its user, and a pod's user has no name. Nobody else reads it.
    os.environ.setdefault("POD_ID", MANAGED_BY)
    failures = 0
    told = asyncio.Event()
    while True:
        started = time.monotonic()
        running = asyncio.create_task(_run_kopf(machinery, health_port, namespaces, told))
        try:
            await asyncio.wait([running])
        finally:
            running.cancel()
        error = running.exception()
        if error is None:
            return
        failures = 1 if time.monotonic() - started > _LASTING_SECONDS else failures + 1
        if failures >= _MOST_FAILURES:
            raise error
        logger.warning("the watches start anew", error=str(error))
        if await _is_told_to_stop(told, _WATCH_BACKOFF.delay(failures, _SPREAD.random())):
            return


async def _run_kopf(
    machinery: Machinery, health_port: int, namespaces: Sequence[str], told: asyncio.Event
) -> None:
    """Run kopf until it ends, and end what it leaves.

    Its end waits for its watches, and does not come where one of them waits for its first answer.
    """
    before = asyncio.all_tasks()
    roots = await kopf.spawn_tasks(
        registry=build_registry(machinery),
        settings=build_kopf_settings(machinery.silence_seconds),
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
        liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz",
    )
    running = asyncio.create_task(kopf.run_tasks(roots, ignored=before))
    try:
        await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)
        # From here on kopf is deaf.
        _listen(told)
        done, _ = await asyncio.wait([running], timeout=_END_SECONDS)
    finally:
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_END_SECONDS)
    for task in done:
        task.result()
    for root in roots:
        if root.done() and not root.cancelled():
            root.result()


def _listen(told: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)


async def _is_told_to_stop(told: asyncio.Event, within: float) -> bool:
    """Wait, and return whether a signal came; while kopf runs, it listens itself."""
    _listen(told)
    try:
        async with asyncio.timeout(within):
            await told.wait()
    except TimeoutError:
        return False
    return True


def build_kopf_settings(silence_seconds: float) -> kopf.OperatorSettings:
    """Return kopf's settings, changed where its defaults do harm."""
    settings = kopf.OperatorSettings()
    # Watches can hang or go silent: they end after five minutes, and are opened anew.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 301
    settings.watching.connect_timeout = 30
    settings.watching.chunk_size = 250
    settings.watching.inactivity_timeout = silence_seconds
    for kind in CHILD_KINDS:
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
    settings.networking.request_timeout = 60
    # Together longer than two minutes: an API server that restarts must not end the operator.
    settings.networking.error_backoffs = _Spread((1, 1, 2, 3, 5, 8, 13, 21, 34, 55))
    settings.posting.enabled = False
    # It would also kill a process in which kopf starts anew; the kubelet ends what hangs.
    settings.process.ultimate_exiting_timeout = None
    settings.queueing.idle_timeout = 1
    settings.execution.max_workers = 1
    settings.persistence.diffbase_storage = NoDiffs()
    return settings


def build_registry(machinery: Machinery) -> kopf.OperatorRegistry:
    """Return the handlers: login, health and the watches."""
    registry = kopf.OperatorRegistry()

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return _describe_connection(await load_connection())

    async def report_health(**_: Any) -> dict[str, float]:
        return check_health(machinery)

    kopf.on.login(id="login", registry=registry)(log_in)
    kopf.on.probe(id="health", registry=registry)(report_health)
    register_watches(registry, machinery.cache, machinery.queue, machinery.resync)
    return registry


def check_health(machinery: Machinery) -> dict[str, float]:
    """Return what `/healthz` answers.

    Raises:
        kopf.PermanentError: Where only a new start helps; it answers 500 then.
    """
    blind, longest = machinery.resync.blind_seconds(), machinery.queue.longest_pass()
    if blind > _BLIND_FACTOR * machinery.silence_seconds:
        raise kopf.PermanentError(f"a watch has been missing changes for {blind:.0f} s")
    if longest > _PASS_LIMIT_SECONDS:
        raise kopf.PermanentError(f"a pass has been running for {longest:.0f} s")
    return {"blindSeconds": blind, "longestPassSeconds": longest}


class _Spread:
    """Pauses that differ each time they are gone through, so that watches do not come together."""

    def __init__(self, pauses: tuple[float, ...]) -> None:
        self._pauses = pauses

    def __iter__(self) -> Iterator[float]:
        for pause in self._pauses:
            yield pause * _SPREAD.uniform(0.75, 1.25)


def _describe_connection(connection: Connection) -> kopf.ConnectionInfo:
    configuration = connection.configuration
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=connection.scheme,
        token=connection.token,
    )


async def _resync_forever(machinery: Machinery) -> None:
    rounds = 0
    while True:
        await asyncio.sleep(machinery.resync_seconds * _SPREAD.uniform(0.75, 1.25))
        rounds += 1
        try:
            missed = await machinery.resync.run()
        except ClusterError as error:
            logger.warning("the resync failed", error=str(error))
            continue
        for failure in machinery.resync.failures:
            logger.warning("a kind was not compared", error=str(failure))
        for key in missed:
            machinery.queue.add(key)
        if rounds % _ROUNDS_PER_FULL_PASS == 0:
            for key in machinery.cache.jobs():
                machinery.queue.add(key, _SPREAD.uniform(0, machinery.resync_seconds))
