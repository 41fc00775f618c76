"""A Ray cluster of two machines that are one: a head that takes no work, and a worker."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ray_cluster", "ray_worker"]

_HOST = "127.0.0.1"
_GRACE_SECONDS = 30


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
        with _started([*head, "--temp-dir", folder]), ray_worker(address, cpus=cpus):
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_worker(address: str, *, cpus: int) -> Iterator[None]:
    """Run one more worker of a cluster."""
    with _started(["--address", address, "--num-cpus", str(cpus)]):
        yield


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _started(arguments: list[str]) -> Iterator[None]:
    """Run `ray start`, which waits for its processes and ends them with itself."""
    common = ["--node-ip-address", _HOST, "--object-store-memory", str(100 * 2**20), "--block"]
    process = subprocess.Popen(
        [Path(sys.executable).parent / "ray", "start", *arguments, *common],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(_GRACE_SECONDS)
