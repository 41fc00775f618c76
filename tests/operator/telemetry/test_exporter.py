"""The exporter answers everyone, waits for no one, and tells strangers nothing."""

import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import BadStatusLine
from pathlib import Path

import pytest

from trimtab_operator.telemetry import exporter
from trimtab_operator.telemetry.exporter import ExporterSettings, MetricsServer

PAGE = b"# HELP a b\n# TYPE a gauge\na 1.0\n"
HOST = "127.0.0.1"
# When in the handshake a client learns it differs from run to run.
REFUSED = (ssl.SSLError, urllib.error.URLError, ConnectionError, BadStatusLine)


@contextmanager
def serving(render: Callable[[], bytes] = lambda: PAGE, **files: Path) -> Iterator[int]:
    server = MetricsServer(render, ExporterSettings(port=0, **files))
    try:
        yield server.port
    finally:
        server.close()


def fetch(port: int, path: str = "/metrics", context: ssl.SSLContext | None = None) -> bytes:
    scheme = "https" if context else "http"
    url = f"{scheme}://{HOST}:{port}{path}"
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:
        text: bytes = answer.read()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return text


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that vouches for itself, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_the_page_is_at_metrics_and_nowhere_else() -> None:
    with serving() as port:
        assert fetch(port) == fetch(port, "/metrics?a=b") == PAGE
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(port, "/")
        assert caught.value.code == 404
        caught.value.close()


def test_f74_a_page_that_cannot_be_made_is_an_answer_and_the_next_one_is_made() -> None:
    pages = iter([ValueError("broken"), PAGE])

    def render() -> bytes:
        page = next(pages)
        if isinstance(page, Exception):
            raise page
        return page

    with serving(render) as port:
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(port)
        assert caught.value.code == 500
        caught.value.close()
        assert fetch(port) == PAGE


def test_f74_a_storm_makes_the_page_once_and_all_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter, "_FRESH_SECONDS", 60.0)
    made: list[int] = []
    all_wait = threading.Event()

    def render() -> bytes:
        made.append(1)
        all_wait.wait(5)
        return PAGE

    with serving(render) as port, ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(fetch, port) for _ in range(64)]
        all_wait.set()
        assert {answer.result() for answer in answers} == {PAGE}
    assert len(made) == 1


@pytest.mark.parametrize("is_secured", [False, True])
def test_f74_clients_that_say_nothing_or_read_nothing_keep_no_one_waiting(
    tmp_path: Path, is_secured: bool
) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    files = {"certificate": certificate, "key": key} if is_secured else {}
    context = ssl.create_default_context(cafile=certificate) if is_secured else None
    big = PAGE * 200_000
    with serving(lambda: big, **files) as port:
        silent = [socket.create_connection((HOST, port)) for _ in range(10)]
        deaf = [socket.create_connection((HOST, port)) for _ in range(10)]
        try:
            for one in deaf:
                one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert fetch(port, context=context) == big
        finally:
            for one in (*silent, *deaf):
                one.close()


def test_only_clients_of_the_authority_read_and_renewed_certificates_count(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    known, known_key = make_certificate(tmp_path, "known")
    context = ssl.create_default_context(cafile=certificate)
    with serving(certificate=certificate, key=key, client_ca=known) as port:
        with pytest.raises(REFUSED):
            fetch(port, context=context)
        with pytest.raises(REFUSED):
            fetch(port)
        context.load_cert_chain(known, known_key)
        assert fetch(port, context=context) == PAGE
        make_certificate(tmp_path, "server")
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(port, context=context)
        context.load_verify_locations(certificate)
        assert fetch(port, context=context) == PAGE


def test_what_cannot_be_served_is_known_at_the_start(tmp_path: Path) -> None:
    with serving() as port, pytest.raises(OSError, match="in use"):
        MetricsServer(lambda: PAGE, ExporterSettings(port=port))
    path = tmp_path / "tls.crt"
    settings = ExporterSettings(port=0, certificate=path, key=path)
    with pytest.raises(FileNotFoundError):
        MetricsServer(lambda: PAGE, settings)
    path.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        MetricsServer(lambda: PAGE, settings)
