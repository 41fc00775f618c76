"""Where the API server is and who we are there: SEAM to the configuration of `kubernetes.aio`.

Loaded at start and again when the server no longer knows us (401). In a pod it is the service
account, elsewhere the current context of a kubeconfig. `client` and kopf both connect by it.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from trimtab_operator.cluster.errors import Request, UnavailableError

__all__ = ["Connection", "load_connection"]

_LOGIN = Request("log in to", "the API server")

# The library's functions carry no types.
_LOAD_IN_CLUSTER: Callable[..., None] = load_incluster_config
_LOAD_KUBECONFIG: Callable[..., Awaitable[object]] = load_kube_config


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and credentials, as `client` and kopf take them.

    Attributes:
        configuration: For `kubernetes.aio`; re-reads the token of a service account by itself.
        scheme: Of the token, usually Bearer; None without a token.
        token: None where a client certificate is used.
    """

    configuration: Configuration
    scheme: str | None
    token: str | None


async def load_connection() -> Connection:
    """Return how to reach the API server.

    Raises:
        UnavailableError: Where there is neither a service account nor a kubeconfig.
    """
    configuration = Configuration()
    # Reads are retried by the work queue, which knows how urgent they are.
    configuration.retries = None
    # It would look for a ~/.netrc at each request, in a thread. kopf trusts no environment either.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            _LOAD_IN_CLUSTER(client_configuration=configuration)
        else:
            await _LOAD_KUBECONFIG(client_configuration=configuration, persist_config=False)
    except (ConfigException, OSError) as error:
        raise UnavailableError(_LOGIN, f"no usable credentials: {error}") from error
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = header.rpartition(" ")
    return Connection(configuration, scheme or ("Bearer" if token else None), token or None)
