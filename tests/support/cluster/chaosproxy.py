"""A proxy between a client and the API server that does harm on demand.

Tests point the operator's kubeconfig at it, read what passed, and add faults. It speaks plain
HTTP on this machine and runs in a thread of its own; what a fault is stands in `faults`.
"""

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self, assert_never

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

from cluster.access import Cluster, write_kubeconfig
from cluster.faults import Answer, Armed, EventChange, Fault, Loss, Seen, is_write
from cluster.shifted_clock import shift_date, shift_stamps

__all__ = ["ChaosProxy"]

_LONGEST_LINE = 2**22
# Long answers come compressed; they are unpacked here.
_HOP_BY_HOP = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "transfer-encoding",
}
_START_SECONDS = 10
_LIMIT = re.compile(r"limit=\d+")


@dataclass(slots=True)
class ChaosProxy:
    """A running proxy, while it is a context."""

    cluster: Cluster
    requests: list[Seen] = field(default_factory=list)
    """All requests in the order in which they came."""
    page: int | None = None
    """Objects in a page of a list, whatever the client asks for; None leaves it to the client."""
    ahead: timedelta = timedelta()
    """By how much the server's clock is ahead of the client's, as both see it."""
    _armed: list[Armed] = field(default_factory=list)
    _changes: list[tuple[str, EventChange]] = field(default_factory=list)
    _watches: list[web.Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _session: ClientSession | None = None
    _port: int = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError(f"the proxy did not start in {_START_SECONDS} s")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path, token: str) -> Path:
        """Write a kubeconfig that leads through the proxy, and return its path."""
        return write_kubeconfig(path, self.url, token, None)

    def count_writes(self, chosen: Callable[[Seen], bool] = is_write) -> int:
        """Return how many writes came, of all or of those that a condition chooses."""
        return sum(is_write(seen) and chosen(seen) for seen in list(self.requests))

    def add(self, fault: Fault) -> None:
        """Let a fault happen from now on."""
        with self._lock:
            self._armed.append(Armed(fault))

    def before_write(self, number: int, act: Callable[[], None]) -> None:
        """Act when the n-th write from now on comes, which the server then never sees."""
        self.add(Fault(is_write, Loss.REQUEST, passed=number - 1, then=act))

    def after_write(self, number: int, act: Callable[[], None]) -> None:
        """Act when the server has done the n-th write from now on; its answer is lost."""
        self.add(Fault(is_write, Loss.ANSWER, passed=number - 1, then=act))

    def change_events(self, part: str, change: EventChange) -> None:
        """Change the events of all watches whose path holds a text."""
        with self._lock:
            self._changes.append((part, change))

    def heal(self) -> None:
        """Let everything pass again; what was lost stays lost."""
        with self._lock:
            self._armed.clear()
            self._changes.clear()
            self.page = None

    def cut_watches(self) -> None:
        """Break the connections of all watches."""
        asyncio.run_coroutine_threadsafe(self._cut_watches(), self._loop).result()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop(runner))

    async def _start(self) -> web.AppRunner:
        # One context for all requests: connections of another one are not used again.
        trust = ssl.create_default_context(cadata=self.cluster.api.trust)
        self._session = ClientSession(
            connector=TCPConnector(ssl=trust, limit=0),
            timeout=ClientTimeout(total=None),
            read_bufsize=_LONGEST_LINE,
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _stop(self, runner: web.AppRunner) -> None:
        await self._cut_watches()
        await runner.cleanup()
        if self._session is not None:
            await self._session.close()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = await _look_at(request)
        fault = self._note(seen)
        if fault is None or fault.effect is None:
            return await self._forward(request, seen, fault)
        match fault.effect:
            case Answer() as answer:
                await _call(fault)
                return _render(answer)
            case Loss.REQUEST:
                await _call(fault)
                return _break_off(request)
            case Loss.ANSWER:
                async with self._ask(request) as answer_of_server:
                    await answer_of_server.read()
                await _call(fault)
                return _break_off(request)
            case Loss.SILENCE:
                await _call(fault)
                await asyncio.Event().wait()
                return _break_off(request)
            case _ as unknown:
                assert_never(unknown)

    def _note(self, seen: Seen) -> Fault | None:
        with self._lock:
            self.requests.append(seen)
            fired = [armed.fault for armed in self._armed if armed.fires(seen)]
        return fired[0] if fired else None

    async def _forward(
        self, request: web.Request, seen: Seen, fault: Fault | None
    ) -> web.StreamResponse:
        try:
            async with self._ask(request) as answer:
                if seen.is_watch:
                    return await self._stream(request, answer)
                content = await answer.read()
        except ClientError as error:
            return _render(Answer(502, str(error)))
        if fault is not None:
            await _call(fault)
        content = shift_stamps(content, self.ahead)
        return web.Response(body=content, status=answer.status, headers=self._headers(answer))

    def _ask(self, request: web.Request) -> "_Asked":
        if self._session is None:
            raise RuntimeError("the proxy is used outside of its context")
        path = request.raw_path
        if self.page is not None:
            path = _LIMIT.sub(f"limit={self.page}", path)
        return _Asked(self._session, self.cluster, request, path, self.ahead)

    def _headers(self, answer: ClientResponse) -> dict[str, str]:
        kept = _kept(answer.headers)
        return {**kept, "Date": shift_date(kept["Date"], self.ahead)} if self.ahead else kept

    async def _stream(self, request: web.Request, answer: ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=self._headers(answer))
        await response.prepare(request)
        self._watches.append(request)
        try:
            async for line in answer.content:
                for event in self._changed(request.path, line):
                    await response.write(event)
        except (ClientError, ConnectionError):
            _break_off(request)
        finally:
            self._watches.remove(request)
        return response

    def _changed(self, path: str, line: bytes) -> list[bytes]:
        line = shift_stamps(line, self.ahead)
        with self._lock:
            changes = [change for part, change in self._changes if part in path]
        if not changes:
            return [line]
        events = [json.loads(line)]
        for change in changes:
            events = [after for event in events for after in change(event)]
        return [json.dumps(event).encode() + b"\n" for event in events]

    async def _cut_watches(self) -> None:
        for request in list(self._watches):
            _break_off(request)


class _Asked:
    """The request of a client, sent on to the server; a context with the server's answer."""

    def __init__(
        self,
        session: ClientSession,
        cluster: Cluster,
        request: web.Request,
        path: str,
        ahead: timedelta,
    ) -> None:
        self._session = session
        self._path = path
        self._ahead = ahead
        self._cluster = cluster
        self._request = request
        self._answer: ClientResponse | None = None

    async def __aenter__(self) -> ClientResponse:
        request = self._request
        self._answer = await self._session.request(
            request.method,
            f"{self._cluster.api.server}{self._path}",
            # An empty body would get a type, which the server refuses at a GET.
            data=shift_stamps(await request.read(), -self._ahead) or None,
            headers=_kept(request.headers),
        )
        return self._answer

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()


async def _look_at(request: web.Request) -> Seen:
    return Seen(
        request.method,
        request.path,
        dict(request.query),
        token=request.headers.get("Authorization", "").rpartition(" ")[2],
        at=time.monotonic(),
        body=await request.text() if request.can_read_body else "",
    )


async def _call(fault: Fault) -> None:
    if fault.then is not None:
        await asyncio.to_thread(fault.then)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _render(answer: Answer) -> web.Response:
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": answer.code,
        "reason": answer.reason,
        "message": f"the proxy answered {answer.code} {answer.reason}".strip(),
    }
    body = status if answer.body is None else answer.body
    return web.json_response(body, status=answer.code, headers=answer.headers)


def _break_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
