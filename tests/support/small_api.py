"""A small API server for the command line: prepared answers by path, and a list of what was asked.

It judges nothing; what a real server says is tier A's.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

__all__ = ["Refusal", "SmallApi", "make_refusal", "serve_api"]

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Refusal:
    """An answer that is none."""

    status: int
    body: dict[str, Any] | str


def make_refusal(status: int, message: str, **details: Any) -> Refusal:
    return Refusal(
        status,
        {"kind": "Status", "status": "Failure", "code": status, "message": message}
        | {"details": details},
    )


@dataclass
class SmallApi:
    """What it answers; a path with a query comes before the same without."""

    answers: dict[str, dict[str, Any] | Refusal] = field(default_factory=dict)
    watches: list[list[dict[str, Any]]] = field(default_factory=list)
    """Events of one watch after the other; none are left = the watch ends at once."""
    denied: set[str] = field(default_factory=set)
    """`verb resource/subresource` that the user may not do."""
    asked: list[str] = field(default_factory=list)
    """Method and path with query, in order."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    """Content types that were asked for."""
    tokens: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, path: str, document: dict[str, Any] | Refusal) -> None:
        self.answers[path] = document

    def find(self, path: str) -> dict[str, Any] | Refusal:
        for key in (path, path.partition("?")[0]):
            if key in self.answers:
                return self.answers[key]
        name = path.partition("?")[0].rpartition("/")[2]
        return make_refusal(404, f'"{name}" not found', name=name)

    def review(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = body["spec"]["resourceAttributes"]
        tail = f"/{asked['subresource']}" if asked["subresource"] else ""
        return {
            "status": {"allowed": f"{asked['verb']} {asked['resource']}{tail}" not in self.denied}
        }


class _Handler(BaseHTTPRequestHandler):
    api: SmallApi

    def do_GET(self) -> None:
        path = unquote(self.path)
        self.api.asked.append(f"GET {path}")
        self.api.accepted.append(self.headers.get("Accept", ""))
        self.api.tokens.append(self.headers.get("Authorization", ""))
        if "watch=true" in path:
            events = self.api.watches.pop(0) if self.api.watches else []
            self._send(200, "".join(json.dumps(event) + "\n" for event in events))
        else:
            self._answer(self.api.find(path))

    def do_POST(self) -> None:
        self._write("POST")

    def do_PATCH(self) -> None:
        self._write("PATCH")

    def _write(self, method: str) -> None:
        path = unquote(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.api.asked.append(f"{method} {path}")
        self.api.bodies.append(body)
        self._answer(self.api.review(body) if path == REVIEWS else self.api.find(path))

    def _answer(self, answer: dict[str, Any] | Refusal) -> None:
        if isinstance(answer, Refusal):
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self._send(answer.status, body)
        else:
            self._send(200, json.dumps(answer))

    def _send(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent: what was asked is in the list."""


@contextmanager
def serve_api(folder: Path) -> Iterator[tuple[SmallApi, Path]]:
    """Provide a server, and a kubeconfig whose current context is `test` in namespace `vision`."""
    api = SmallApi()
    handler = type("Handler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "local", "cluster": {"server": api.url}}],
        "users": [{"name": "me", "user": {"token": "secret-of-mine"}}],
        "contexts": [
            {"name": "test", "context": {"cluster": "local", "user": "me", "namespace": "vision"}},
            {"name": "bare", "context": {"cluster": "local", "user": "me"}},
        ],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config), "utf-8")
    try:
        yield api, path
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
