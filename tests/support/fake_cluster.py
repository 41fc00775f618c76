"""A small API server over HTTP for tests of `trimtab_operator.cluster`: objects, versions, apply.

It keeps what server-side apply promises as far as the operator relies on it: one owner per top
field, uids as preconditions, growing versions; a status is replaced. The real API server is the
judge at tier A.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.connection import Connection
from trimtab_operator.cluster.kinds import KINDS, ApiKind

Json = dict[str, Any]
_PLURALS = frozenset(kind.plural for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


@dataclass(slots=True)
class FakeCluster:
    """Objects by path, and what was asked."""

    objects: dict[str, Json] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    """Path roots of kinds that are not served."""
    answer: Callable[[Call], web.Response | None] = lambda _: None
    """Answers instead of the server where it returns something."""
    held: asyncio.Event | None = None
    """Where set, answers wait for it."""
    version: int = 100
    url: str = ""

    def add(self, kind: ApiKind, document: Json) -> Json:
        """Put an object there as somebody else would."""
        metadata = {
            "uid": f"uid-{document['metadata']['name']}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **document["metadata"],
            "resourceVersion": self._next_version(),
        }
        stored = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            **deepcopy(document),
            "metadata": metadata,
        }
        self.objects[kind.path(metadata["namespace"], metadata["name"])] = stored
        return stored

    def find(self, kind: ApiKind, namespace: str, name: str) -> Json | None:
        return self.objects.get(kind.path(namespace, name))

    def writes(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls if call.is_write]

    def _next_version(self) -> str:
        self.version += 1
        return str(self.version)

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        call = Call(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            json.loads(text) if text else None,
        )
        self.calls.append(call)
        if self.held is not None:
            await self.held.wait()
        return self.answer(call) or self._serve(call)

    def _serve(self, call: Call) -> web.Response:
        if any(call.path.startswith(root) for root in self.absent):
            return refuse(404, "the server could not find the requested resource")
        match call.method:
            case "GET" if call.path in self.objects:
                return web.json_response(self.objects[call.path])
            case "GET" if call.path.rpartition("/")[2] in _PLURALS:
                return self._list(call)
            case "PATCH" if call.path.endswith("/status"):
                return self._replace_status(call)
            case "PATCH":
                return self._apply(call)
            case "POST":
                return self._create(call)
            case "DELETE":
                return self._delete(call)
            case _:
                return refuse(404, f"{call.path} not found")

    def _list(self, call: Call) -> web.Response:
        prefix, _, plural = call.path.rpartition("/")
        wanted = dict(
            part.split("=", 1)
            for part in call.query.get("labelSelector", "").split(",")
            if "=" in part
        )
        items = []
        for path, stored in self.objects.items():
            labels = stored["metadata"].get("labels", {})
            if (
                path.startswith(prefix)
                and path.rpartition("/")[0].endswith(f"/{plural}")
                and wanted.items() <= labels.items()
            ):
                items.append({k: v for k, v in stored.items() if k not in {"kind", "apiVersion"}})
        if "as=PartialObjectMetadataList" in call.headers.get("Accept", ""):
            items = [{"metadata": item["metadata"]} for item in items]
        start, limit = int(call.query.get("continue", 0)), int(call.query.get("limit", 500))
        rest = start + limit if start + limit < len(items) else None
        metadata = {"continue": str(rest)} if rest else {}
        return web.json_response({"metadata": metadata, "items": items[start : start + limit]})

    def _apply(self, call: Call) -> web.Response:
        path = call.path
        body = call.body or {}
        stored = self.objects.get(path)
        uid = body["metadata"].get("uid")
        if stored is None and uid:
            return refuse(409, "uid mismatch: no existing object was found")
        if stored is None:
            name = body["metadata"]["name"]
            metadata = {**body["metadata"], "uid": f"uid-{name}"}
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
            stored = self.objects[path] = {**body, "metadata": metadata}
            stored["metadata"]["resourceVersion"] = self._next_version()
            return web.json_response(stored, status=201)
        if uid and stored["metadata"]["uid"] != uid:
            return refuse(409, f"uid mismatch: {uid}")
        return self._store(path, {key: value for key, value in body.items() if key != "metadata"})

    def _replace_status(self, call: Call) -> web.Response:
        path = call.path.removesuffix("/status")
        stored = self.objects.get(path)
        if stored is None:
            return refuse(404, f"{path} not found")
        values = {change["path"]: change["value"] for change in call.body}
        if values["/metadata/resourceVersion"] != stored["metadata"]["resourceVersion"]:
            return refuse(409, "the object has been modified")
        return self._store(path, {"status": values["/status"]})

    def _store(self, path: str, fields: Json) -> web.Response:
        stored = self.objects[path]
        merged = {**stored, **fields}
        if merged != stored:
            merged["metadata"] = {**stored["metadata"], "resourceVersion": self._next_version()}
            self.objects[path] = merged
        return web.json_response(self.objects[path])

    def _create(self, call: Call) -> web.Response:
        body = call.body or {}
        path = f"{call.path}/{body['metadata']['name']}"
        if path in self.objects:
            return refuse(409, f"{path} already exists")
        metadata = {**body["metadata"], "uid": f"uid-{body['metadata']['name']}"}
        metadata["resourceVersion"] = self._next_version()
        self.objects[path] = {**body, "metadata": metadata}
        return web.json_response(self.objects[path], status=201)

    def _delete(self, call: Call) -> web.Response:
        stored = self.objects.get(call.path)
        if stored is None:
            return refuse(404, f"{call.path} not found")
        wanted = (call.body or {}).get("preconditions", {})
        there = {key: stored["metadata"][key] for key in wanted}
        if wanted != there:
            return refuse(409, f"the precondition {wanted} does not hold: {there}")
        del self.objects[call.path]
        return web.json_response({"kind": "Status", "status": "Success"})


def refuse(
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    causes: tuple[Json, ...] = (),
) -> web.Response:
    """Return an answer as the API server refuses."""
    body = {"kind": "Status", "message": message, "details": {"causes": list(causes)}}
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def serve_cluster() -> AsyncIterator[FakeCluster]:
    """Serve an empty cluster on a free local port."""
    cluster = FakeCluster()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", cluster.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    cluster.url = f"http://{host}:{port}"
    try:
        yield cluster
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_client(
    cluster: FakeCluster, *, request_seconds: float = 5.0
) -> AsyncIterator[Client]:
    """Return a client of the cluster."""
    configuration = Configuration(host=cluster.url)
    configuration.retries = None
    client = Client(Connection(configuration, None, None), request_seconds=request_seconds)
    try:
        yield client
    finally:
        await client.close()
        await asyncio.sleep(0)  # the sockets' own callbacks
