"""A bucket over HTTP that can be listed and read, page by page; a real S3 server is used elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

__all__ = ["SmallBucket", "serve_bucket"]

_PAGE = 2


@dataclass
class SmallBucket:
    """What lies in bucket `runs`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    error: str = ""
    """Code of the error that every request gets."""
    signed: list[str] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    bucket: SmallBucket

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.bucket.signed.append(self.headers.get("Authorization", ""))
        name, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {word: values[0] for word, values in parse_qs(parts.query).items()}
        if self.bucket.error:
            self._fail(403, self.bucket.error)
        elif name != "runs":
            self._fail(404, "NoSuchBucket")
        elif "list-type" in query:
            self._list(query.get("prefix", ""), int(query.get("continuation-token", "0")))
        elif key in self.bucket.objects:
            self._send(200, self.bucket.objects[key])
        else:
            self._fail(404, "NoSuchKey")

    def _list(self, prefix: str, start: int) -> None:
        keys = sorted(key for key in self.bucket.objects if key.startswith(prefix))
        end = start + _PAGE
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.bucket.objects[key])}</Size></Contents>"
            for key in keys[start:end]
        )
        more = (
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
            if end < len(keys)
            else "<IsTruncated>false</IsTruncated>"
        )
        self._send(200, f"<ListBucketResult>{entries}{more}</ListBucketResult>".encode())

    def _fail(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent."""


@contextmanager
def serve_bucket() -> Iterator[SmallBucket]:
    """Provide a server that holds the bucket."""
    bucket = SmallBucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
