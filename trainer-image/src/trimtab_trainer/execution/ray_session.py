"""SEAM of ray: the Ray that a run works on, started here or joined in a cluster.

Called by `ray_actors` for a local Ray, and by the driver in a cluster. What runs there is left to
`ray_actors`, and what follows when a machine is taken away.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private.state import state as cluster_state
from ray.exceptions import RayError

from trimtab_trainer.errors import EnvironmentMissingError
from trimtab_trainer.execution.shares import Machines

__all__ = [
    "find_leaving_machines",
    "join_cluster",
    "leave_cluster",
    "name_machine",
    "start_local_ray",
]

_OBJECT_STORE_BYTES = 128 * 2**20
"""Only small values travel between slots; Ray's own default takes a third of the memory."""

_WORKER_PATIENCE_SECONDS = 60.0
"""How long workers may be missing when the driver starts: KubeRay starts it when all were ready."""
_LOOK_SECONDS = 1.0

_RAY_SETTINGS = {
    # Accelerators stay visible to slots that ask for none; without it Ray warns.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # How long Ray looks for the death behind a broken connection before it calls an actor merely
    # unavailable. Its own second is too short on a busy machine.
    "RAY_timeout_ms_task_wait_for_death_info": "10000",
    # How long Ray waits for its own start; it would rather fail on a busy machine.
    "RAY_raylet_start_wait_time_s": "120",
}


def join_cluster(workers: int, *, patience: float = _WORKER_PATIENCE_SECONDS) -> Machines:
    """Join the Ray cluster that this machine is part of, and wait for its workers.

    Where some are missing for too long it goes on with those that are there: the others find
    their place when they come.

    Args:
        workers: How many machines the cluster is to have, the head apart.
        patience: Seconds to wait for them.

    Returns:
        So many machines as there are to be, each as large as the smallest one that is there.

    Raises:
        EnvironmentMissingError: There is no cluster, or none of its workers came.
    """
    _set_environment()
    with _translated("a Ray cluster must run here"):
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    limit = time.monotonic() + patience
    while len(found := _list_workers()) < workers and time.monotonic() < limit:
        time.sleep(_LOOK_SECONDS)
    if not found:
        ray.shutdown()
        raise EnvironmentMissingError(
            f"the Ray cluster must have {workers} workers but none came within {patience:g} s"
        )
    return Machines(
        count=workers,
        cores=int(min(node["CPU"] for node in found)),
        gpus=int(min(node.get("GPU", 0) for node in found)),
    )


def leave_cluster() -> None:
    """Leave it, ending every process that was started there; harmless without one."""
    ray.shutdown()


def name_machine() -> str:
    """Return the name of the machine that this process of a cluster is on."""
    name: str = ray.get_runtime_context().get_node_id()
    return name


def find_leaving_machines() -> frozenset[str]:
    """Return the names of the cluster's machines that are being taken away, as far as is known.

    A machine of Ray 2.60 or later says so itself when its container is asked to end, and takes no
    new processes from then on. Ray has no public function for it.
    """
    get_leaving: Any = cluster_state.get_draining_nodes
    try:
        return frozenset(get_leaving())
    except (RayError, RuntimeError, OSError):
        return frozenset()


def _list_workers() -> list[dict[str, float]]:
    """Return the resources of the machines that take work: a head offers no cores."""
    list_nodes: Any = ray.nodes  # Ray gives it no types
    nodes = [node["Resources"] for node in list_nodes() if node["Alive"]]
    return [node for node in nodes if node.get("CPU", 0) >= 1]


def start_local_ray(*, cpus: int, gpus: int, threads: int) -> None:
    """Start a Ray on this machine that ends with this process.

    Args:
        cpus: Processes that it takes at once.
        gpus: GPUs that it hands out.
        threads: With which each of its processes computes.

    Raises:
        EnvironmentMissingError: Ray cannot start here.
    """
    _set_environment()
    with (
        _threads_announced(threads),
        _own_termination(),
        _translated("a local Ray must start here"),
    ):
        ray.init(
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


@contextmanager
def _translated(expected: str) -> Iterator[None]:
    """Turn whatever Ray raises at its start: also a bare Exception, where its node is too slow."""
    try:
        yield
    except Exception as error:
        raise EnvironmentMissingError(f"{expected} but: {error}") from error


@contextmanager
def _own_termination() -> Iterator[None]:
    """Keep the caller's handler of SIGTERM: Ray's prints the stack of the process and ends it."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler):
        yield
        return
    try:
        yield
    except SystemExit:
        # Only Ray's handler raises it, while Ray starts.
        handler(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)


def _set_environment() -> None:
    """Set what Ray reads from the environment when it starts or is joined."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for name, value in _RAY_SETTINGS.items():
        os.environ.setdefault(name, value)


@contextmanager
def _threads_announced(threads: int) -> Iterator[None]:
    """Set how many threads workers of a local Ray compute with; this process keeps its own."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
