"""Whether an installation works: its definition is served, and its operator is available.

Called by `python -m trimtab_operator check`, which the chart runs as its test. It asks the API
server only, so that no port of the operator need be open.
"""

from collections.abc import AsyncIterator

from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import ClusterError, NotFoundError
from trimtab_operator.cluster.kinds import OPTIMIZATION_JOB, ApiKind

__all__ = ["find_faults"]

# Read by the check only; the operator itself has no right to it.
_DEPLOYMENT = ApiKind("Deployment", "apps", "v1", "deployments", ("get",))


async def find_faults(client: Client, namespace: str, deployment: str) -> AsyncIterator[str]:
    """Yield what does not work, a sentence each.

    Args:
        client: With the rights to list jobs in the namespace and to read the Deployment.
        namespace: Of the operator.
        deployment: Its name.
    """
    try:
        await client.list_versions(OPTIMIZATION_JOB, namespace)
    except NotFoundError:
        yield f"the API server does not serve {OPTIMIZATION_JOB.resource}"
    except ClusterError as error:
        yield str(error)
    try:
        document = await client.read(_DEPLOYMENT, namespace, deployment)
    except ClusterError as error:
        yield str(error)
        return
    status = document.get("status") or {}
    if status.get("observedGeneration", 0) < document["metadata"].get("generation", 0):
        yield f"the Deployment {namespace}/{deployment} is not rolled out yet"
    elif not status.get("availableReplicas"):
        yield f"no pod of the Deployment {namespace}/{deployment} is available"
