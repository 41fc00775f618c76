"""SEAM to the Kubernetes API: one ConfigMap, patched with the token of this pod.

Called by the reporter of a cluster run and by the Job of a target. A whole client library would
cost each driver a second and a hundred megabytes for this one request, which the standard library
makes as well. When to write, and what to do when it fails, is left to the callers.
"""

import json
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import final

__all__ = ["ApiRefusedError", "ApiServer", "ConfigMap", "find_api_server"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = 20.0
_SHOWN = 200


class ApiRefusedError(Exception):
    """The API server did not do what it was asked; says in one line why."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """How to reach it."""

    connect: Callable[[], HTTPConnection]
    """Gives a connection that was not used yet."""
    token_file: Path
    """Read at each request, because the kubelet renews it."""


def find_api_server(
    environment: Mapping[str, str] = os.environ, account: Path = _ACCOUNT
) -> ApiServer:
    """Return the API server of the cluster that this pod runs in.

    Args:
        environment: Where Kubernetes puts its address.
        account: Folder with the token and the certificate of its authority.

    Raises:
        ApiRefusedError: This is no pod of a cluster, or it has no token.
    """
    try:
        host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
        trust = ssl.create_default_context(cafile=str(account / "ca.crt"))
        number = int(port)
    except (KeyError, OSError, ValueError) as error:
        raise ApiRefusedError(
            f"the pod must have an API server and a token but: {error}"
        ) from error

    def connect() -> HTTPConnection:
        return HTTPSConnection(host, number, timeout=_TIMEOUT_SECONDS, context=trust)

    return ApiServer(connect, account / "token")


@final
class ConfigMap:
    """One ConfigMap, which must be there: this account may not make it."""

    def __init__(self, server: ApiServer, *, namespace: str, name: str) -> None:
        self._server = server
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"

    def patch(self, data: Mapping[str, str]) -> dict[str, str]:
        """Set keys of it and return all of its keys.

        Raises:
            ApiRefusedError: The server does not answer, or not with the ConfigMap.
        """
        body = json.dumps({"data": dict(data)})
        try:
            token = self._server.token_file.read_text().strip()
            connection = self._server.connect()
            try:
                connection.request(
                    "PATCH",
                    f"{self._path}?fieldManager=trimtab-driver",
                    body=body,
                    headers={
                        "Authorization": f"Bearer {token}",
                        "Content-Type": "application/merge-patch+json",
                        "Accept": "application/json",
                    },
                )
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError) as error:
            raise ApiRefusedError(f"{type(error).__name__}: {error}"[:_SHOWN]) from error
        return _read_data(response.status, content)


def _read_data(status: int, content: bytes) -> dict[str, str]:
    try:
        document = json.loads(content)
        if status == HTTPStatus.OK:
            return {str(key): str(value) for key, value in (document.get("data") or {}).items()}
        text = str(document.get("message"))
    except (ValueError, AttributeError):
        text = content[:_SHOWN].decode(errors="replace")
    raise ApiRefusedError(f"status {status}: {' '.join(text.split())}"[:_SHOWN])
