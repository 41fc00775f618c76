"""The page of metrics over HTTP or TLS, in threads of its own.

Started by the assembly. A scrape never waits for the event loop nor the loop for it: the page is
made by whoever asks first, at most once a second, and a client that is slow or silent holds one of
a bounded number of threads for a bounded time.
"""

import http.server
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import final

from typing_extensions import override

from trimtab_operator.telemetry.logs import get_logger

__all__ = ["ExporterSettings", "MetricsServer"]

logger = get_logger(__name__)

_Connection = socket.socket | tuple[bytes, socket.socket]

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FRESH_SECONDS = 1.0
# Prometheus itself gives up after ten.
_PATIENCE_SECONDS = 10.0
_MOST_CLIENTS = 32
_BACKLOG = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSettings:
    """Where the page is and who may read it.

    Attributes:
        port: On all addresses.
        certificate: File of the server's certificate; None = no TLS.
        key: File of its key.
        client_ca: File of the authority that signs clients' certificates; None = anyone may read.
    """

    port: int
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None


@final
class MetricsServer:
    """Answers `/metrics` until it is closed.

    Args:
        render: Makes the page, in any thread.
        settings: Where it is served.

    Raises:
        OSError: The port is taken, or a certificate cannot be used.
    """

    def __init__(self, render: Callable[[], bytes], settings: ExporterSettings) -> None:
        _make_context(settings)
        self._server = _Server(settings, _Page(render))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Return the port, also where any was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Answer no longer; what is being answered goes on."""
        self._server.shutdown()
        self._server.server_close()


@final
class _Page:
    """The page of the last second."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._lock = threading.Lock()
        self._made_at = float("-inf")
        self._text = b""

    def read(self) -> bytes:
        """Return the page; who comes while it is made waits for it."""
        with self._lock:
            if time.monotonic() - self._made_at > _FRESH_SECONDS:
                self._text = self._render()
                self._made_at = time.monotonic()
            return self._text


@final
class _Server(http.server.ThreadingHTTPServer):
    """Takes a connection only where a thread for it is free."""

    daemon_threads = True
    request_queue_size = _BACKLOG

    def __init__(self, settings: ExporterSettings, page: _Page) -> None:
        self.page = page
        self._settings = settings
        self._places = threading.BoundedSemaphore(_MOST_CLIENTS)
        super().__init__(("", settings.port), _Handler)

    @override
    def process_request(self, request: _Connection, client_address: object) -> None:
        if not self._places.acquire(timeout=_PATIENCE_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self._places.release()
            raise

    @override
    def process_request_thread(self, request: _Connection, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def finish_request(self, request: _Connection, client_address: object) -> None:
        context = _make_context(self._settings)
        if context is None or not isinstance(request, socket.socket):
            super().finish_request(request, client_address)
            return
        request.settimeout(_PATIENCE_SECONDS)
        # Here and not where connections are taken: a client may never greet.
        with context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    @override
    def handle_error(self, request: _Connection, client_address: object) -> None:
        logger.debug("a scrape broke off", error=repr(sys.exception()))


@final
class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers one scrape."""

    timeout = _PATIENCE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Send the page."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, "the metrics are at /metrics")
            return
        try:
            text = self.server.page.read()
        except Exception:
            # A fault of ours in one series must not end a thread without an answer.
            logger.exception("the metrics cannot be rendered")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: there is a scrape every few seconds."""


def _make_context(settings: ExporterSettings) -> ssl.SSLContext | None:
    """Return how connections are secured, anew for each: certificates are renewed on disk."""
    if settings.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
