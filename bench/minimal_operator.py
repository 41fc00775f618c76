"""The smallest operators that one would write with kopf: what ours is measured beside.

    python -m bench.minimal_operator event|create PORT

Each makes one ConfigMap and writes one status per job. `event` is level-triggered, as ours: it
compares, and writes what is missing. `create` is how kopf's documentation begins: handlers of
creation and update, with kopf's own memory in an annotation. Both send plain JSON through the
client that ours uses, which is the cheapest way.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config

from trimtab_api.v1alpha1.job import GROUP, VERSION

__all__ = ["main"]

_PLURAL = "optimizationjobs"
_FIRST_ERROR = 400
_CONFLICT = 409
_SECONDS = 30.0

# The library's functions carry no types.
_LOAD: Callable[..., Awaitable[None]] = load_kube_config


async def _send(api: ApiClient, method: str, path: str, body: object, content: str) -> None:
    configuration: Any = api.configuration
    headers = {"Accept": "application/json", "Content-Type": content}
    headers["Authorization"] = await configuration.get_api_key_with_prefix("BearerToken")
    call: Any = api.call_api
    answer = await call(method, configuration.host + path, headers, body, None, _SECONDS)
    await answer.read()
    if answer.status >= _FIRST_ERROR and answer.status != _CONFLICT:
        raise kopf.TemporaryError(f"the API server answered {answer.status}", delay=1)


async def _make_child(api: ApiClient, body: Mapping[str, Any]) -> None:
    metadata = body["metadata"]
    owner = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{metadata['name']}-child", "ownerReferences": [owner]},
        "data": {"spec": json.dumps(body["spec"])},
    }
    path = f"/api/v1/namespaces/{metadata['namespace']}/configmaps"
    await _send(api, "POST", path, child, "application/json")


async def _write_status(api: ApiClient, body: Mapping[str, Any]) -> None:
    metadata = body["metadata"]
    folder = f"/apis/{GROUP}/{VERSION}/namespaces/{metadata['namespace']}/{_PLURAL}"
    changes = {"status": _describe(metadata)}
    path = f"{folder}/{metadata['name']}/status"
    await _send(api, "PATCH", path, changes, "application/merge-patch+json")


def _describe(metadata: Mapping[str, Any]) -> dict[str, object]:
    return {"observedGeneration": metadata["generation"], "attempt": 1, "state": "Starting"}


def _register_event(api: ApiClient) -> None:
    made: set[str] = set()

    async def reconcile(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        if event["type"] == "DELETED":
            made.discard(body["metadata"]["uid"])
            return
        if body["metadata"]["uid"] not in made:
            await _make_child(api, body)
            made.add(body["metadata"]["uid"])
        generation = (body.get("status") or {}).get("observedGeneration")
        if generation != body["metadata"]["generation"]:
            await _write_status(api, body)

    kopf.on.event(GROUP, VERSION, _PLURAL, id="reconcile")(reconcile)


def _register_create(api: ApiClient) -> None:
    async def create(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        await _make_child(api, body)
        patch.status.update(_describe(body["metadata"]))

    async def update(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        patch.status.update(_describe(body["metadata"]))

    kopf.on.create(GROUP, VERSION, _PLURAL, id="create")(create)
    kopf.on.update(GROUP, VERSION, _PLURAL, id="update")(update)


_WAYS: Mapping[str, Callable[[ApiClient], None]] = {
    "event": _register_event,
    "create": _register_create,
}


async def _run(way: str, port: int) -> None:
    configuration = Configuration()
    # As ours: it would look for a ~/.netrc at each request.
    configuration.client_session_kwargs = {"trust_env": False}
    await _LOAD(client_configuration=configuration)
    api = ApiClient(configuration)
    _WAYS[way](api)
    try:
        await kopf.operator(
            clusterwide=True,
            standalone=True,
            liveness_endpoint=f"http://127.0.0.1:{port}/healthz",
        )
    finally:
        close: Callable[[], Awaitable[None]] = api.close
        await close()


def main(way: str, port: str) -> None:
    """Run one of the operators until it is told to stop.

    Args:
        way: `event` or `create`.
        port: Where `/healthz` answers.
    """
    asyncio.run(_run(way, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
