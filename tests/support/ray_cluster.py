"""A Ray cluster of two machines that are one: a head that takes no work, and a worker."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ray_cluster", "ray_worker"]

_HOST = "127.0.0.1"
_GRACE_SECONDS = 30
_START_SECONDS = 120
_LOOK_SECONDS = 0.2


@contextmanager
def ray_cluster(*, cpus: int) -> Iterator[str]:
    """Run a head without cores and one worker; yield the address for RAY_ADDRESS.

    Args:
        cpus: Cores that the worker offers.
    """
    port = _find_free_port()
    address = f"{_HOST}:{port}"
    head = ["--head", "--port", str(port), "--num-cpus", "0", "--include-dashboard", "false"]
    # Sockets lie in this folder, and their paths must be short.
    folder = tempfile.mkdtemp(prefix="trimtab-ray-")
    try:
        with _started([*head, "--temp-dir", folder]):
            _wait_for(port)
            with ray_worker(address, cpus=cpus):
                yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_worker(address: str, *, cpus: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run one more worker of a cluster; yield what is the first process of a worker's container."""
    with _started(["--address", address, "--num-cpus", str(cpus)], drain=20) as process:
        yield process


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    """Wait until something listens, as Kubernetes does before it lets anyone join."""
    limit = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection((_HOST, port), timeout=1).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


@contextmanager
def _started(arguments: list[str], *, drain: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Run `ray start`, which waits for its processes and ends them with itself.

    Args:
        arguments: Of the command.
        drain: Seconds for which it lets work end when it is asked to end itself.
    """
    common = ["--node-ip-address", _HOST, "--object-store-memory", str(100 * 2**20), "--block"]
    process = subprocess.Popen(
        [Path(sys.executable).parent / "ray", "start", *arguments, *common],
        env={
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_USAGE_STATS_REPORT_URL": "off",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(drain),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_GRACE_SECONDS)
