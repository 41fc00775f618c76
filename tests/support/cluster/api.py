"""A small client of the API server for tests: JSON in, JSON out, and the server's words on refusal.

Tests use it so that what they see does not pass through the operator's own client. It speaks
HTTP with the standard library and retries nothing.
"""

import http.client
import json
import select
import ssl
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from cluster.kinds import collection_path, object_path

__all__ = ["Api", "ApiRefusedError", "Manifest"]

Manifest = dict[str, Any]
"""A Kubernetes object as JSON data."""

_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiRefusedError(RuntimeError):
    """The API server did not do what was asked; holds its status."""

    def __init__(self, code: int, status: Manifest) -> None:
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        self.causes = status.get("details", {}).get("causes", [])
        super().__init__(f"{code} {self.reason}: {self.message}")


class _Plain(http.client.HTTPConnection):
    """A connection that is closed with its thread, or with its client."""

    def __del__(self) -> None:
        self.close()


class _Secure(http.client.HTTPSConnection):
    """The same over TLS."""

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Api:
    """Requests to one API server as one user.

    Attributes:
        server: `http(s)://host:port`.
        token: Bearer token of the user.
        trust: Certificates to trust; None trusts what the server shows.
    """

    server: str
    token: str
    trust: str | None = None
    _kept: threading.local = field(default_factory=threading.local, compare=False, repr=False)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest:
        """Return one object."""
        return self.request("GET", object_path(kind, name, namespace))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """Return one object, or None where it does not exist."""
        try:
            return self.get(kind, name, namespace)
        except ApiRefusedError as error:
            if error.code == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind, of one namespace or of all."""
        query = {"labelSelector": labels} if labels else {}
        items = self.request("GET", collection_path(kind, namespace), query=query)["items"]
        return list(items)

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object; fields that the schema does not know are refused."""
        metadata = manifest.get("metadata", {})
        path = collection_path(manifest["kind"], metadata.get("namespace"))
        return self.request("POST", path, body=manifest, query=_strict(dry_run=dry_run))

    def replace(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """Write a whole object back."""
        metadata = manifest["metadata"]
        path = object_path(manifest["kind"], metadata["name"], metadata.get("namespace"))
        query = _strict(dry_run=False)
        return self.request("PUT", path + subresource, body=manifest, query=query)

    def apply(self, manifest: Manifest, manager: str = "test", *, force: bool = True) -> Manifest:
        """Apply an object from the server's side as a field manager."""
        metadata = manifest["metadata"]
        path = object_path(manifest["kind"], metadata["name"], metadata.get("namespace"))
        query = {"fieldManager": manager, "force": str(force).lower()}
        return self.request("PATCH", path, body=manifest, query=query, patch="apply")

    def apply_text(self, path: str, text: str, manager: str = "test") -> Manifest:
        """Apply an object that is written in YAML, without reading it here."""
        query = urllib.parse.urlencode({"fieldManager": manager, "force": "true"})
        headers = {"Content-Type": _TYPES["apply"]}
        answer: Manifest = json.loads(self._exchange("PATCH", f"{path}?{query}", text, headers))
        return answer

    def patch(
        self, kind: str, name: str, changes: object, namespace: str | None = None, **more: str
    ) -> Manifest:
        """Merge changes into an object; `subresource="/status"` writes its status."""
        path = object_path(kind, name, namespace) + more.get("subresource", "")
        return self.request("PATCH", path, body=changes, patch=more.get("patch", "merge"))

    def delete(self, kind: str, name: str, namespace: str | None = None, **options: Any) -> None:
        """Delete an object; options such as `gracePeriodSeconds` are the API's."""
        self.request("DELETE", object_path(kind, name, namespace), body=options or None)

    def delete_all(self, kind: str, namespace: str) -> None:
        """Delete the objects of a kind in a namespace; of one that is not served there are none."""
        try:
            self.request("DELETE", collection_path(kind, namespace))
        except ApiRefusedError as error:
            if error.code != http.HTTPStatus.NOT_FOUND:
                raise

    def read_text(self, path: str) -> str:
        """Return what the server answers to a GET, as text: logs and health checks."""
        return self._exchange("GET", path, None, {})

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        patch: str | None = None,
    ) -> Manifest:
        """Send one request.

        Raises:
            ApiRefusedError: The server answered with a failure.
        """
        address = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        headers = {"Content-Type": _TYPES[patch] if patch else "application/json"}
        text = None if body is None else json.dumps(body)
        answer: Manifest = json.loads(self._exchange(method, address, text, headers))
        return answer

    def watch(
        self, kind: str, namespace: str | None = None, seconds: int = 5
    ) -> Iterator[Manifest]:
        """Yield the events of a kind, from all that exists on, until the time is over."""
        query = urllib.parse.urlencode({"watch": "true", "timeoutSeconds": seconds})
        with closing(self._connect()) as connection:
            path = f"{collection_path(kind, namespace)}?{query}"
            connection.request("GET", path, headers=self._headers())
            for line in connection.getresponse():
                yield json.loads(line)

    def is_ready(self) -> bool:
        """Tell whether the server answers and is ready."""
        try:
            return self.read_text("/readyz") == "ok"
        except (OSError, http.client.HTTPException, ApiRefusedError):
            return False

    def _exchange(
        self, method: str, path: str, text: str | None, headers: Mapping[str, str]
    ) -> str:
        connection = self._reuse()
        try:
            connection.request(method, path, text and text.encode(), {**self._headers(), **headers})
            answer = connection.getresponse()
            content = answer.read().decode()
        except BaseException:
            connection.close()
            raise
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiRefusedError(answer.status, _status_of(content))
        return content

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}

    def _reuse(self) -> http.client.HTTPConnection:
        """Return the connection of this thread; a new one would cost the server a key exchange."""
        known: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        # What can be read between two answers is the server's good-bye.
        if known is None or (known.sock is not None and select.select([known.sock], [], [], 0)[0]):
            if known is not None:
                known.close()
            known = self._kept.connection = self._connect()
        return known

    def _connect(self) -> http.client.HTTPConnection:
        address = urllib.parse.urlsplit(self.server)
        host = address.hostname or ""
        if address.scheme == "http":
            return _Plain(host, address.port, timeout=30)
        context = ssl.create_default_context(cadata=self.trust)
        if self.trust is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return _Secure(host, address.port, timeout=30, context=context)


def _strict(*, dry_run: bool) -> dict[str, str]:
    query = {"fieldValidation": "Strict"}
    return {**query, "dryRun": "All"} if dry_run else query


def _status_of(content: str) -> Manifest:
    try:
        status = json.loads(content)
    except ValueError:
        return {"message": content}
    return status if isinstance(status, dict) else {"message": content}
