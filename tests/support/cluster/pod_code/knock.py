"""Knocks at the doors of a Ray head and prints what is answered, as one line of JSON.

Runs in the pod that `cluster.intruder` makes; it reads and never changes anything, but for one job
that it tries to submit.
"""

import http.client
import json
import sys
from typing import Any

import grpc
from ray.core.generated import gcs_service_pb2, ray_client_pb2

_SECONDS = 20
_WRONG = {"Authorization": "Bearer wrong"}
_JOBS = (8265, "/api/jobs/")
_GCS, _CLIENT = 6379, 10001


def _ask(host: str, port: int, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        body = json.dumps({"entrypoint": "true"}) if method == "POST" else None
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _ask_all(host: str, paths: dict[str, list[str]], headers: dict[str, str]) -> dict[str, int]:
    answers = {
        f"GET {port} {path}": _ask(host, int(port), "GET", path, headers)
        for port, names in paths.items()
        for path in names
    }
    port, path = _JOBS
    answers[f"POST {port} {path}"] = _ask(host, port, "POST", path, headers)
    return answers


def _call(channel: grpc.Channel, method: str, metadata: tuple[tuple[str, str], ...]) -> str:
    try:
        channel.unary_unary(method)(b"", timeout=_SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def _call_all(host: str) -> dict[str, str]:
    """Call whatever reads, of the control service and of the server for clients."""
    wrong = tuple((name.lower(), value) for name, value in _WRONG.items())
    found = {}
    for port, file in ((_GCS, gcs_service_pb2), (_CLIENT, ray_client_pb2)):
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            for service in file.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    if method.name.startswith(("Get", "KVGet", "ClusterInfo", "InternalKVGet")):
                        path = f"/{service.full_name}/{method.name}"
                        found[f"{port} {path}"] = _call(channel, path, ())
                        found[f"{port} {path} wrong"] = _call(channel, path, wrong)
    return found


def _knock(host: str, paths: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "http": _ask_all(host, paths, {}),
        "wrong": _ask_all(host, paths, _WRONG),
        "grpc": _call_all(host),
    }


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(_knock(request["host"], request["paths"])) + "\n")
