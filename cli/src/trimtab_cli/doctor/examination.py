"""All checks in their order: first the installation, then the user, then one job.

Called by `trimtab doctor`. A check that may not look says so and the next one goes on; without an
API server that is new enough there is nothing to go on with.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from trimtab_api.v1alpha1.job import API_VERSION, OptimizationJob
from trimtab_cli.access import AbstractCluster, ClusterError, ForbiddenError, NotFoundError
from trimtab_cli.children import UNKNOWN_IMAGE, UNKNOWN_STORAGE, plan_children
from trimtab_cli.doctor._base import Check, CheckState
from trimtab_cli.doctor.capacity import check_capacity
from trimtab_cli.doctor.demand import list_pods
from trimtab_cli.doctor.installation import (
    OperatorDefaults,
    check_definition,
    check_kuberay,
    check_operator,
    check_server,
    find_operator_defaults,
)
from trimtab_cli.doctor.references import check_references
from trimtab_cli.doctor.rights import check_rights

__all__ = ["examine"]


def examine(cluster: AbstractCluster, jobs: Sequence[OptimizationJob]) -> Iterator[Check]:
    """Yield what is there and what is missing.

    Args:
        cluster: Where jobs shall run.
        jobs: Valid jobs, whose needs are looked at too; they need not exist there.
    """
    server = list(check_server(cluster))
    yield from server
    if any(check.state is CheckState.FAILED for check in server):
        return
    checks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("definition", partial(check_definition, cluster)),
        ("operator", partial(check_operator, cluster)),
        ("KubeRay", partial(check_kuberay, cluster)),
        ("namespace", partial(_check_namespace, cluster)),
        ("rights", partial(check_rights, cluster)),
        *((job.metadata.name, partial(_check_job, cluster, job)) for job in jobs),
    ]
    for subject, run in checks:
        try:
            yield from run()
        except ClusterError as error:
            yield Check(subject, CheckState.UNKNOWN, str(error))


def _check_namespace(cluster: AbstractCluster) -> Iterator[Check]:
    try:
        cluster.read(f"/api/v1/namespaces/{cluster.namespace}")
    except NotFoundError:
        create = f"kubectl create namespace {cluster.namespace}"
        text = f"{cluster.namespace} does not exist"
        yield Check("namespace", CheckState.FAILED, text, create)
    except ForbiddenError:
        # Who may work in one namespace often may not read the object itself.
        return
    else:
        yield Check("namespace", CheckState.OK, cluster.namespace)


def _check_job(cluster: AbstractCluster, job: OptimizationJob) -> Iterator[Check]:
    defaults = find_operator_defaults(cluster)
    yield from _check_defaults(job, defaults)
    children = plan_children(
        job,
        namespace=cluster.namespace,
        image=defaults.image or UNKNOWN_IMAGE,
        storage=defaults.storage or UNKNOWN_STORAGE,
    )
    pods = list_pods(children)
    yield from check_references(cluster, children, pods)
    try:
        nodes = cluster.read("/api/v1/nodes").get("items") or []
    except ForbiddenError as error:
        yield Check("nodes", CheckState.UNKNOWN, f"cannot see whether pods fit: {error}")
    else:
        yield from check_capacity(pods, nodes)


def _check_defaults(job: OptimizationJob, defaults: OperatorDefaults) -> Iterator[Check]:
    if job.spec.storage is not None or defaults.storage:
        return
    if defaults.image is None:
        text = "the job names no storage, and the operator's default cannot be seen"
        yield Check("storage", CheckState.UNKNOWN, text)
        return
    text = "neither the job nor the operator says where results go: set spec.storage.uri"
    explain = f"kubectl explain optimizationjobs.spec.storage --api-version={API_VERSION}"
    yield Check("storage", CheckState.FAILED, text, explain)
