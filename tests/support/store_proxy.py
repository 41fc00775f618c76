"""A proxy between a run and its S3 server that does harm on demand; what a fault is stands in `faults`.

A request passes as it is, the name of its host included: both are signed.
"""

import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, assert_never
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from cluster.faults import Answer, Armed, Fault, Loss, Seen
from s3_server import S3Server

__all__ = ["StoreProxy"]

_HOP_BY_HOP = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}


@dataclass(slots=True)
class StoreProxy:
    """A running proxy, while it is a context."""

    server: S3Server
    requests: list[Seen] = field(default_factory=list)
    """All requests in the order in which they came."""
    _armed: list[Armed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _healed: threading.Event = field(default_factory=threading.Event)
    _listener: ThreadingHTTPServer = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._listener.daemon_threads = True
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def add(self, fault: Fault) -> None:
        """Let a fault happen from now on."""
        with self._lock:
            self._healed.clear()
            self._armed.append(Armed(fault))

    def heal(self) -> None:
        """Let everything pass again; what was lost stays lost."""
        with self._lock:
            self._armed.clear()
            self._healed.set()

    def note(self, seen: Seen) -> Fault | None:
        """Remember a request; return what happens to it."""
        with self._lock:
            self.requests.append(seen)
            fired = [armed.fault for armed in self._armed if armed.fires(seen)]
        return fired[0] if fired else None

    def wait_until_healed(self) -> None:
        """Wait for `heal`."""
        self._healed.wait()


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    proxy: StoreProxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.note(self._look())
        if fault is None or fault.effect is None:
            self._pass(body, fault)
            return
        match fault.effect:
            case Answer() as answer:
                self._refuse(answer)
            case Loss.REQUEST:
                self.close_connection = True
            case Loss.ANSWER:
                self._ask(body)
                self.close_connection = True
            case Loss.SILENCE:
                self.proxy.wait_until_healed()
                self.close_connection = True
            case _ as unknown:
                assert_never(unknown)
        _call(fault)

    def _look(self) -> Seen:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Seen(self.command, unquote(parts.path), query, at=time.monotonic())

    def _pass(self, body: bytes, fault: Fault | None) -> None:
        try:
            answer, content = self._ask(body)
        except (OSError, HTTPException):
            self.close_connection = True
            return
        if fault is not None:
            _call(fault)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        # The answer to HEAD tells the length of what it does not hold.
        self._send(content, answer.getheader("Content-Length"))

    def _ask(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.proxy.server.port)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        if body or self.command in {"PUT", "POST"}:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        try:
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _refuse(self, answer: Answer) -> None:
        code = escape(answer.reason)
        self.send_response_only(answer.code)
        content = f"<Error><Code>{code}</Code><Message>told by the proxy</Message></Error>"
        self._send(b"" if self.command == "HEAD" else content.encode(), None)

    def _send(self, content: bytes, length: str | None) -> None:
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _call(fault: Fault) -> None:
    if fault.then is not None:
        fault.then()
