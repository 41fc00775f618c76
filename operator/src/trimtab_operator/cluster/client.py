"""Requests to the API server as plain JSON: SEAM to `kubernetes.aio`, of which only HTTP is used.

The library's models cost thirty times what JSON does and are not needed. A request is sent once:
errors are typed by `errors`, and who asked decides when to try again. A 401 is the exception: the
credentials are loaded anew and the request is sent once more.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from trimtab_api.labels import FIELD_MANAGER
from trimtab_operator.cluster.connection import Connection, load_connection
from trimtab_operator.cluster.errors import Request, UnavailableError, make_error
from trimtab_operator.cluster.kinds import ApiKind

__all__ = ["Client", "ServerClock"]

Json = dict[str, Any]

_BAD = 400
_UNAUTHORIZED = 401
_CHUNK = 250
_CLOCK_NOISE_SECONDS = 2.0
_APPLY = "application/apply-patch+yaml"
_REPLACE = "application/json-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ServerClock:
    """The time of the API server, from the Date of its answers and a monotonic clock.

    Ages and deadlines are compared with stamps that the server gave, so its clock counts, not ours.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._offset: float | None = None

    def note(self, date: str | None) -> None:
        """Learn from the Date header of an answer, which is cut to whole seconds."""
        if not date:
            return
        try:
            offset = parsedate_to_datetime(date).timestamp() - self._monotonic()
        except ValueError:
            return
        # Cut seconds make the offset too small by up to one: the largest is the best guess. More
        # than that is a clock that was set.
        if self._offset is None or not 0 <= self._offset - offset <= _CLOCK_NOISE_SECONDS:
            self._offset = offset

    def now(self) -> datetime:
        """Return the server's time; before the first answer, that of this machine."""
        if self._offset is None:
            return datetime.now(UTC)
        return datetime.fromtimestamp(self._monotonic() + self._offset, UTC)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Json
    retry_after: float


class Client:
    """Reads and writes objects; made once at start and closed at the end."""

    def __init__(self, connection: Connection, *, request_seconds: float) -> None:
        self.clock = ServerClock()
        self._seconds = request_seconds
        self._connection = connection
        self._api = ApiClient(connection.configuration)
        self._login = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await _call(self._api.close)

    async def read(self, kind: ApiKind, namespace: str, name: str) -> Json:
        """Return an object.

        Raises:
            NotFoundError: Where it is absent.
            ClusterError: Where it could not be read.
        """
        request = Request("get", kind.resource, namespace, name)
        return await self._send(request, "GET", kind.path(namespace, name))

    async def list_children(self, kind: ApiKind, namespace: str, selector: str) -> list[Json]:
        """Return the objects of a namespace that bear the labels.

        Raises:
            NotFoundError: Where the kind is not served.
            ClusterError: Where they could not be read.
        """
        request = Request("list", kind.resource, namespace)
        query = {"labelSelector": selector, "limit": str(_CHUNK)}
        pages = self._pages(request, kind.path(namespace), query, {})
        return [{**_type_of(kind), **item} async for item in pages]

    async def list_versions(
        self, kind: ApiKind, namespace: str | None = None
    ) -> dict[tuple[str, str], str]:
        """Return the version of each watched object of a kind, by namespace and name.

        Args:
            kind: Of the objects.
            namespace: Where they are; None takes those of all namespaces.

        Raises:
            NotFoundError: Where the kind is not served.
            ClusterError: Where they could not be read.
        """
        query = {"limit": str(_CHUNK)}
        if kind.selector:
            query["labelSelector"] = kind.selector
        request = Request("list", kind.resource, namespace)
        pages = self._pages(request, kind.path(namespace), query, {"Accept": _METADATA_ONLY})
        # No more than one page is held: the owners of fields make it long.
        return {
            (found["namespace"], found["name"]): found["resourceVersion"]
            async for item in pages
            for found in (item["metadata"],)
        }

    async def apply(self, kind: ApiKind, manifest: Mapping[str, Any], uid: str | None) -> Json:
        """Apply a manifest server-side, never by force, and return the object.

        Args:
            kind: Of the manifest.
            manifest: The fields that are ours, all of them.
            uid: Of the object that must be there; None where there is none yet.

        Raises:
            ConflictError: With the fields that another manager owns, or where the object is
                another one than `uid`.
            ClusterError: Where it was not applied.
        """
        metadata = manifest["metadata"]
        namespace, name = str(metadata["namespace"]), str(metadata["name"])
        body = {**manifest, "metadata": {**metadata, "uid": uid}} if uid else dict(manifest)
        # A KubeRay that is too old would drop fields that it does not know.
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return await self._send(
            Request("patch", kind.resource, namespace, name),
            "PATCH",
            f"{kind.path(namespace, name)}?{urlencode(query)}",
            body=body,
            headers={"Content-Type": _APPLY},
        )

    async def replace_status(
        self,
        kind: ApiKind,
        namespace: str,
        name: str,
        *,
        resource_version: str,
        status: Mapping[str, Any],
    ) -> Json:
        """Replace the whole status of an object of ours and return the object.

        No one else writes it. It is no server-side apply, which makes null of a map that loses its
        last entry: no schema takes that.

        Args:
            kind: Of the object.
            namespace: Of the object.
            name: Of the object.
            resource_version: What it must still have; an object made anew under the same name has
                another one.
            status: All of it.

        Raises:
            NotFoundError: Where the object is gone.
            ConflictError: Where it is another one, or another version.
            ClusterError: Where it was not written.
        """
        return await self._send(
            Request("patch", f"{kind.resource}/status", namespace, name),
            "PATCH",
            f"{kind.path(namespace, name)}/status?fieldManager={FIELD_MANAGER}",
            body=[
                {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
                {"op": "add", "path": "/status", "value": dict(status)},
            ],
            headers={"Content-Type": _REPLACE},
        )

    async def create(self, kind: ApiKind, namespace: str, manifest: Mapping[str, Any]) -> Json:
        """Create an object and return it.

        Raises:
            ClusterError: Where it was not created.
        """
        query = f"?fieldManager={FIELD_MANAGER}"
        request = Request("create", kind.resource, namespace)
        path = kind.path(namespace) + query
        return await self._send(request, "POST", path, body=dict(manifest))

    async def delete(
        self, kind: ApiKind, namespace: str, name: str, *, uid: str, resource_version: str
    ) -> None:
        """Delete an object in the background, if it is still the one and the version given.

        Raises:
            NotFoundError: Where it is gone already.
            ConflictError: Where it changed meanwhile.
            ClusterError: Where it was not deleted.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        request = Request("delete", kind.resource, namespace, name)
        await self._send(request, "DELETE", kind.path(namespace, name), body=options)

    async def _pages(
        self, request: Request, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[Json]:
        token = ""
        while True:
            asked = {**query, "continue": token} if token else dict(query)
            url = f"{path}?{urlencode(asked)}"
            answer = await self._send(request, "GET", url, headers=headers)
            for item in answer.get("items") or ():
                yield item
            token = str((answer.get("metadata") or {}).get("continue") or "")
            if not token:
                return

    async def _send(
        self,
        request: Request,
        method: str,
        path: str,
        *,
        body: Json | list[Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        used = self._api
        answer = await self._exchange(request, method, path, body, headers or {})
        if answer.status == _UNAUTHORIZED:
            await self._reconnect(used)
            answer = await self._exchange(request, method, path, body, headers or {})
        if answer.status >= _BAD:
            raise make_error(answer.status, answer.body, request, answer.retry_after)
        return answer.body

    async def _exchange(
        self,
        request: Request,
        method: str,
        path: str,
        body: Json | list[Json] | None,
        headers: Mapping[str, str],
    ) -> _Answer:
        configuration = self._connection.configuration
        sent = {"Accept": "application/json", **headers}
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            sent["Authorization"] = token
        try:
            response = await self._api.call_api(
                method, configuration.host + path, sent, body, None, self._seconds
            )
            text = await _call(response.read)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            cause = str(error) or type(error).__name__
            raise UnavailableError(request, f"no answer: {cause}") from error
        self.clock.note(response.headers.get("Date"))
        return _Answer(response.status, _decode(text), _seconds(response.headers))

    async def _reconnect(self, refused: ApiClient) -> None:
        async with self._login:
            if self._api is not refused:
                return
            self._connection = await load_connection()
            self._api = ApiClient(self._connection.configuration)
        await _call(refused.close)


# The library's coroutines carry no types.
async def _call(coroutine: Callable[[], Awaitable[Any]]) -> Any:
    return await coroutine()


def _decode(text: bytes) -> Json:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(headers: Mapping[str, str]) -> float:
    try:
        return max(0.0, float(headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0


def _type_of(kind: ApiKind) -> Json:
    """Items of a list do not say what they are."""
    return {"apiVersion": kind.api_version, "kind": kind.name}
