"""SEAM to Kubernetes: asks an API server in plain JSON, with the user's kubeconfig. Read-only.

Imported when a command needs a cluster, and only then, since loading the client takes a second. Of
the client it uses kubeconfig, authentication and transport; its models are not loaded, so that
objects of any version come through whole.
"""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, list_kube_config_contexts, new_client_from_config
from typing_extensions import override
from urllib3.exceptions import HTTPError

from trimtab_cli.access import (
    AbstractCluster,
    ClusterError,
    ConnectionFailedError,
    ForbiddenError,
    KindMissingError,
    Manifest,
    NotFoundError,
    Permission,
    RejectedError,
)

__all__ = ["connect_cluster"]

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
# Longer than the server keeps a watch open.
_WATCH_SECONDS = 330
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_LONGEST_CAUSE = 300
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
# 409 is not the manifest's fault: another writer was faster.
_INVALID = frozenset({400, 413, 415, 422})
_FAILED = 300


def connect_cluster(*, context: str | None, namespace: str | None) -> AbstractCluster:
    """Return the cluster that a kubeconfig names. Sends nothing yet.

    Args:
        context: A context of the kubeconfig; None = the current one.
        namespace: None = the context's, else `default`.

    Raises:
        ConnectionFailedError: The kubeconfig is missing or cannot be used.
    """
    # The client's own default was read when it was imported.
    files = os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        contexts, current = list_kube_config_contexts(config_file=files)
        chosen = next((entry for entry in contexts if entry["name"] == context), current)
        if context is not None and chosen["name"] != context:
            known = ", ".join(entry["name"] for entry in contexts)
            raise ConnectionFailedError(
                f"context must be one of the kubeconfig's ({known}) but got {context}"
            )
        client = new_client_from_config(config_file=files, context=chosen["name"])
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise ConnectionFailedError(
            "needs a kubeconfig, in ~/.kube/config or where KUBECONFIG says:"
            f" {_shorten(str(error))}"
        ) from error
    home = namespace or chosen["context"].get("namespace") or "default"
    return _KubernetesCluster(client, context=chosen["name"], namespace=home)


class _KubernetesCluster(AbstractCluster):
    def __init__(self, client: ApiClient, *, context: str, namespace: str) -> None:
        # The stubs leave out the calls below the generated models.
        self._client: Any = client
        self.context = context
        self.namespace = namespace

    @override
    def read(self, path: str, *, metadata_only: bool = False) -> Manifest:
        accept = _METADATA if metadata_only else "application/json"
        return self._exchange("GET", path, headers={"Accept": accept})

    @override
    def watch(self, path: str) -> Iterator[Manifest]:
        response = self._send("GET", path, seconds=_WATCH_SECONDS)
        rest = b""
        try:
            for chunk in response.stream(amt=None, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield _parse(line, path)
        except HTTPError as error:
            raise ConnectionFailedError(f"the watch broke: {_shorten(str(error))}") from error
        finally:
            response.release_conn()

    @override
    def is_allowed(self, permission: Permission, *, namespace: str) -> bool:
        resource, _, group = permission.resource.partition(".")
        attributes = {
            "namespace": namespace,
            "verb": permission.verb,
            "group": group,
            "resource": resource,
            "subresource": permission.subresource,
            "name": permission.name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        headers = {"Content-Type": "application/json"}
        answer = self._exchange("POST", _REVIEWS, headers=headers, body=review)
        return bool(answer.get("status", {}).get("allowed"))

    @override
    def try_apply(self, path: str, manifest: Mapping[str, Any]) -> None:
        # Forced, because whose field it is says nothing about whether its value is valid.
        query = "dryRun=All&fieldManager=trimtab-validate&force=true&fieldValidation=Strict"
        headers = {"Content-Type": _APPLY}
        self._exchange("PATCH", f"{path}?{query}", headers=headers, body=json.dumps(manifest))

    def _exchange(
        self, method: str, path: str, *, headers: Mapping[str, str], body: object = None
    ) -> Manifest:
        response = self._send(method, path, headers=headers, body=body, seconds=_READ_SECONDS)
        try:
            content = response.read()
        except HTTPError as error:
            raise ConnectionFailedError(f"the answer broke off: {error}") from error
        finally:
            response.release_conn()
        return _parse(content, path)

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        seconds: int,
    ) -> Any:
        """Return a response of which nothing but the head is read."""
        try:
            request = self._client.param_serialize(
                method,
                quote(path, safe="/?=&,%:"),
                header_params=dict(headers or {"Accept": "application/json"}),
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=(_CONNECT_SECONDS, seconds))
            response = answer.response
            if response.status < _FAILED:
                return response
            content = response.read()
            response.release_conn()
        except (HTTPError, ApiException, ConfigException, OSError) as error:
            server = self._client.configuration.host
            raise ConnectionFailedError(
                f"no answer from {server} (context {self.context}): {_shorten(str(error))}"
            ) from error
        raise _refusal(response.status, content, method, path)


def _parse(content: bytes, path: str) -> Manifest:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ConnectionFailedError(f"the answer to {path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConnectionFailedError(f"the answer to {path} must be an object but got {document!r}")
    return document


def _refusal(status: int, content: bytes, method: str, path: str) -> ClusterError:
    text = content.decode("utf-8", "replace")
    details: dict[str, Any] = {}
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        text = str(answer.get("message") or text)
        details = answer.get("details") or {}
    message = _shorten(text) or f"{method} {path}"
    if status == _NOT_FOUND:
        # A missing object is named; to a missing kind the server says "404 page not found".
        return NotFoundError(message) if details.get("name") else KindMissingError(message)
    if status == _UNAUTHORIZED:
        return ForbiddenError(f"the cluster does not know these credentials: {message}")
    if status == _FORBIDDEN:
        return ForbiddenError(message)
    if status in _INVALID:
        causes = tuple(
            (str(cause.get("field") or ""), str(cause.get("message") or ""))
            for cause in details.get("causes") or ()
        )
        return RejectedError(message, causes)
    return ConnectionFailedError(f"the cluster answers {status}: {message}")


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_CAUSE else line[: _LONGEST_CAUSE - 1] + "…"
