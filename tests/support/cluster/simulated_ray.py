"""The job API of every Ray head of tier K, played by one server.

KubeRay gets it as its HTTP proxy, so that no name is resolved and nothing is dialled outside of
this machine. A job runs until a test ends it; what KubeRay stops is stopped.
"""

import json
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from cluster.access import Cluster
from cluster.errors import ClusterStartError
from cluster.processes import wait_until
from cluster.simulated_nodes import SimulatedNodes

__all__ = ["SimulatedRay"]

_JOBS = "/api/jobs/"
_SECONDS = 30


@dataclass(slots=True)
class SimulatedRay:
    """Answers for the Ray heads while it is a context."""

    stopped: list[str] = field(default_factory=list)
    """Ids of jobs that KubeRay stopped."""
    _ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens, as the proxy that KubeRay uses.

        Raises:
            RuntimeError: It is not running.
        """
        if self._server is None:
            raise RuntimeError("the simulated Ray is used outside of its context")
        return f"http://127.0.0.1:{self._server.server_port}"

    def end_job(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        *,
        status: str = "SUCCEEDED",
        message: str = "",
    ) -> None:
        """End the entrypoint of a RayJob, and its submitter, as Ray does.

        Args:
            cluster: The cluster of tier K.
            namespace: Namespace of the RayJob.
            name: Name of the RayJob, which must be running.
            status: SUCCEEDED, FAILED or STOPPED.
            message: What Ray says about a failure.

        Raises:
            ClusterStartError: No submitter was made for it in time.
        """
        labels = f"batch.kubernetes.io/job-name={name}"
        if not wait_until(lambda: bool(cluster.api.list("Pod", namespace, labels)), _SECONDS):
            raise ClusterStartError(f"RayJob {namespace}/{name} has no submitter")
        job = cluster.api.get("RayJob", name, namespace)
        self._ended[job["status"]["jobId"]] = (status, message)
        for pod in cluster.api.list("Pod", namespace, labels):
            SimulatedNodes(cluster.api).finish(pod)

    def describe(self, job_id: str) -> dict[str, Any]:
        """Return what Ray's job API tells about a job."""
        status, message = self._ended.get(job_id, ("RUNNING", ""))
        now = int(time.time() * 1000)
        ended = {"end_time": now} if job_id in self._ended else {}
        told = {"job_id": "01000000", "submission_id": job_id, "status": status}
        return {**told, "message": message, "entrypoint": "", "start_time": now, **ended}

    def stop(self, job_id: str) -> None:
        """Stop a job, as KubeRay asks for when a RayJob is deleted."""
        self.stopped.append(job_id)
        self._ended.setdefault(job_id, ("STOPPED", ""))


def _handler_for(ray: SimulatedRay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is the library's
            self._answer(ray.describe(self._job_id()))

        def do_POST(self) -> None:  # the name is the library's
            ray.stop(self._job_id())
            self._answer({"stopped": True})

        def log_message(self, *_: object) -> None:
            """Keep the terminal of the tests quiet."""

        def _job_id(self) -> str:
            path = urllib.parse.urlsplit(self.path).path
            return path.removeprefix(_JOBS).partition("/")[0]

        def _answer(self, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler
