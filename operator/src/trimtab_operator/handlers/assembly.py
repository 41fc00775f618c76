"""Everything put together: settings in, a running operator out. Called by `__main__`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

from trimtab_operator.cluster.cache import WatchCache
from trimtab_operator.cluster.claims import ClaimBook
from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.connection import load_connection
from trimtab_operator.cluster.installation import find_faults
from trimtab_operator.cluster.observe import Observer
from trimtab_operator.cluster.resync import Resync
from trimtab_operator.handlers.measured import measure
from trimtab_operator.handlers.process import Machinery, run_operator
from trimtab_operator.handlers.workqueue import Backoff, WorkQueue
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconciler import Pace, Reconciler
from trimtab_operator.resources.child_settings import ChildSettings
from trimtab_operator.settings import Settings
from trimtab_operator.telemetry.exporter import ExporterSettings, MetricsServer
from trimtab_operator.telemetry.logs import get_logger
from trimtab_operator.telemetry.metrics import (
    JobBoard,
    OperatorHealth,
    PassLog,
    render_metrics,
)

__all__ = ["build_plan_settings", "list_faults", "run"]

_CHECK_SECONDS = 30.0

logger = get_logger(__name__)


async def run(settings: Settings) -> None:
    """Run the operator until the process is told to stop.

    Raises:
        ClusterError: Where there are no credentials for the API server.
        Exception: Whatever ends kopf.
    """
    client = Client(await load_connection(), request_seconds=settings.request_seconds)
    board, passes = JobBoard(), PassLog()
    try:
        machinery = _assemble(client, settings, board, passes)
        health = OperatorHealth(passes, machinery.queue.depth, machinery.resync.watch_ages)
        with _exporting(settings, lambda: render_metrics(board, health)):
            await run_operator(
                machinery, health_port=settings.health_port, namespaces=settings.watch_namespaces
            )
    finally:
        await client.close()


async def list_faults(namespace: str, deployment: str) -> list[str]:
    """Return what does not work of the installation whose operator is a Deployment.

    Raises:
        ClusterError: Where there are no credentials for the API server.
    """
    client = Client(await load_connection(), request_seconds=_CHECK_SECONDS)
    try:
        return [fault async for fault in find_faults(client, namespace, deployment)]
    finally:
        await client.close()


def build_plan_settings(settings: Settings) -> PlanSettings:
    """Return what the planner goes by."""
    children = ChildSettings(image=settings.trainer_image, storage_uri=settings.storage_uri)
    if settings.ray_version is not None:
        children = replace(children, ray_version=settings.ray_version)
    plain = PlanSettings(children=children)
    times = {
        entry.name: getattr(plain, entry.name) * settings.time_factor
        for entry in fields(plain)
        if entry.name != "children"
    }
    return replace(plain, **times)


@contextmanager
def _exporting(settings: Settings, render: Callable[[], bytes]) -> Iterator[None]:
    """Serve the metrics, if they are wanted; jobs go on where that is not possible."""
    server = None
    if settings.metrics_port:
        where = ExporterSettings(
            port=settings.metrics_port,
            certificate=settings.metrics_certificate,
            key=settings.metrics_key,
            client_ca=settings.metrics_client_ca,
        )
        try:
            server = MetricsServer(render, where)
        except OSError as error:
            logger.warning("the metrics are not served", error=str(error))
    try:
        yield
    finally:
        if server is not None:
            server.close()


def _assemble(client: Client, settings: Settings, board: JobBoard, passes: PassLog) -> Machinery:
    cache = WatchCache()
    observer = Observer(
        client,
        cache,
        ClaimBook(client, keep_seconds=settings.resync_seconds),
        storage_default=settings.storage_uri,
    )
    reconciler = Reconciler(
        client,
        cache,
        observer,
        settings=build_plan_settings(settings),
        pace=Pace(status=settings.status_seconds, event=settings.event_seconds),
        board=board,
    )
    backoff = Backoff(settings.first_retry_seconds, settings.longest_retry_seconds)
    return Machinery(
        cache=cache,
        queue=WorkQueue(measure(reconciler.reconcile, passes), backoff),
        resync=Resync(client, cache, namespaces=settings.watch_namespaces),
        resync_seconds=settings.resync_seconds,
        silence_seconds=settings.silence_seconds,
    )
