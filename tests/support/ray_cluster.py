"""A Ray cluster of two machines that are one: a head that takes no work, and a worker."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.processes import find_free_ports

__all__ = ["ray_cluster", "ray_worker"]

_HOST = "127.0.0.1"
_GRACE_SECONDS = 30
_READY = b"Ray runtime started"


@contextmanager
def ray_cluster(*, cpus: int) -> Iterator[str]:
    """Run a head without cores and one worker; yield the address for RAY_ADDRESS.

    Args:
        cpus: Cores that the worker offers.
    """
    (port,) = find_free_ports(1)
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
def ray_worker(address: str, *, cpus: int, drain: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Run one more worker of a cluster; yield what is the first process of a worker's container.

    Args:
        address: Of the cluster.
        cpus: Cores that it offers.
        drain: Seconds for which it lets work end when it is asked to end itself; 0 ends it at once.
    """
    with _started(["--address", address, "--num-cpus", str(cpus)], drain=drain) as process:
        yield process


@contextmanager
def _started(arguments: list[str], *, drain: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Run `ray start`, which waits for its processes and ends them with itself, until it is ready.

    Args:
        arguments: Of the command.
        drain: Seconds for which it lets work end when it is asked to end itself.
    """
    common = ["--node-ip-address", _HOST, "--object-store-memory", str(100 * 2**20), "--block"]
    command = [Path(sys.executable).parent / "ray", "start", *arguments, *common]
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "180",
        "RAY_USAGE_STATS_REPORT_URL": "disabled",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(drain),
    }
    # On a busy machine Ray gives up on its own agent after 15 s, which nobody can set.
    process = _start(command, environment) or _start(command, environment)
    if process is None:
        raise RuntimeError(f"Ray did not start twice: {command}")
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_GRACE_SECONDS)
            finally:
                process.kill()


def _start(
    command: list[str | Path], environment: dict[str, str]
) -> subprocess.Popen[bytes] | None:
    """Return the process once it is ready; None where it ended before, which it tells pytest."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    for line in process.stdout or ():
        sys.stdout.write(line.decode())
        if _READY in line:
            return process  # the few lines that follow fit into the pipe
    process.communicate()
    return None
