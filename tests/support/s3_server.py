"""A real S3 server over a folder, versitygw, as fixtures; it is built from Go at the first use."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.processes import Processes, find_free_ports
from cluster.programs import program
from mirrors import detach_mirrors
from trimtab_trainer.storage.objects import ObjectAccess, ObjectStore

__all__ = ["Bucket", "S3Server", "bucket", "new_bucket", "s3_server"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server, and what it keeps its objects in."""

    port: int
    folder: Path
    processes: Processes

    def start(self) -> None:
        """Run it, and wait until it answers."""
        # Without extended attributes, which not every /tmp has, etags lie in a folder of their own.
        sidecar = self.folder.with_name("sidecar")
        for folder in (self.folder, sidecar):
            folder.mkdir(exist_ok=True)
        access = self.access
        self.processes.start(
            "versitygw",
            [
                *(program("versitygw"), "--port", f"127.0.0.1:{self.port}"),
                *("--access", access.access_key or "", "--secret", access.secret_key or ""),
                *("posix", "--sidecar", sidecar, self.folder),
            ],
        )
        self.processes.wait_ready("versitygw", lambda: _answers(self.port))

    def stop(self) -> None:
        """End it; its objects stay."""
        self.processes.stop("versitygw")

    @property
    def access(self) -> ObjectAccess:
        return ObjectAccess("tester", "tester-secret", endpoint=f"http://127.0.0.1:{self.port}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of the server; its name and how it is reached."""

    name: str
    server: S3Server

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.name, self.server.access)

    @property
    def environment(self) -> dict[str, str]:
        access = self.server.access
        return {
            "AWS_ACCESS_KEY_ID": access.access_key or "",
            "AWS_SECRET_ACCESS_KEY": access.secret_key or "",
            "AWS_ENDPOINT_URL": access.endpoint or "",
        }

    def keys(self, prefix: str = "") -> list[str]:
        return [stored.key for stored in self.store.list_objects(prefix)]

    def put(self, key: str, content: bytes = b"content") -> None:
        self.store.write(key, content)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run the server on this machine alone."""
    folder = tmp_path_factory.mktemp("s3")
    (port,) = find_free_ports(1)
    with Processes(folder) as processes:
        server = S3Server(port, folder / "buckets", processes)
        server.start()
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Make an empty bucket, and let the environment name its server."""
    with new_bucket(s3_server, monkeypatch) as found:
        yield found


@contextmanager
def new_bucket(server: S3Server, patch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Do what fixture `bucket` does, for longer than a test."""
    found = Bucket(f"bucket-{next(_numbers)}", server)
    (server.folder / found.name).mkdir()
    for name, value in found.environment.items():
        patch.setenv(name, value)
    yield found
    detach_mirrors()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
