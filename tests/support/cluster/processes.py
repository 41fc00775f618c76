"""Starts the programs of a test cluster, waits until they answer, and stops them in turn.

The control plane and the node are made of these. Each program writes a log of its own, whose end
is shown when the program ends early.
"""

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cluster.errors import ClusterStartError

__all__ = ["Processes", "dies_with_parent", "find_free_ports", "wait_until"]

_STOP_SECONDS = 10
_POLL_SECONDS = 0.05
_UNCLAIMED = range(20_000, 30_000)


@dataclass(slots=True)
class Processes:
    """The running programs of one cluster; a context that stops them, the last one first."""

    folder: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _files: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)
        self._files.close()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program under a name; it dies with this process, however that ends."""
        log = self._files.enter_context(self._log(name).open("ab"))
        process = subprocess.Popen(
            [*dies_with_parent(), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=self.folder,
        )
        self._running[name] = process

    def wait_ready(self, name: str, is_ready: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until a program answers.

        Raises:
            ClusterStartError: It ended, or does not answer in time; with the end of its log.
        """

        def ready() -> bool:
            code = self._running[name].poll()
            if code is not None:
                raise ClusterStartError(f"{name} ended with {code}: {self._tail(name)}")
            return is_ready()

        if not wait_until(ready, seconds):
            raise ClusterStartError(
                f"{name} is not ready after {seconds:.0f} s: {self._tail(name)}"
            )

    def is_running(self, name: str) -> bool:
        """Tell whether a program was started and not stopped since."""
        return name in self._running

    def stop(self, name: str) -> None:
        """End a program gently, and by force where it does not listen."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """End a program at once, as a fault."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def read_log(self, name: str) -> str:
        """Return what a program has written so far."""
        return self._log(name).read_text(errors="replace")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        return self.read_log(name).strip()[-2000:]


def wait_until(is_true: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until something holds; tell whether it did in time."""
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def find_free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return different ports that nothing listens on now.

    They are not of those that the kernel, Ray or Kubernetes hand out, so that nobody takes one before
    it is listened on, nor while a server is stopped for a while.
    """
    found: list[int] = []
    # Not from the generator of the tests, whose seed other processes may share.
    for port in random.SystemRandom().sample(_UNCLAIMED, len(_UNCLAIMED)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            found.append(port)
        if len(found) == count:
            return found
    raise ClusterStartError(f"no {count} ports of {host} are free in {_UNCLAIMED}")


def dies_with_parent() -> list[str]:
    """Return the prefix by which the kernel ends a child whose parent was killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
