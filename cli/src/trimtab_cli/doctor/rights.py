"""What the user may do in the namespace.

Called by `examination`. Who may write an OptimizationJob may run pods in that namespace, so the
right to create one is the one that an administrator gives with thought.
"""

from collections.abc import Iterator

from trimtab_api.v1alpha1.job import GROUP
from trimtab_cli.access import AbstractCluster, Permission
from trimtab_cli.doctor._base import Check, CheckState

__all__ = ["check_rights"]

_JOBS = f"optimizationjobs.{GROUP}"
_NEEDED = tuple(
    Permission(verb, _JOBS) for verb in ("create", "get", "list", "watch", "patch", "delete")
)
_USEFUL = (
    Permission("list", "pods"),
    Permission("get", "pods", "log"),
    Permission("list", "events"),
)
_COPYING = (
    Permission("create", "pods"),
    Permission("get", "pods"),
    Permission("watch", "pods"),
    Permission("delete", "pods"),
    Permission("create", "pods", "exec"),
)
"""What the commands ask for that `trimtab fetch` prints for a claim."""


def check_rights(cluster: AbstractCluster) -> Iterator[Check]:
    """Look what the user may do with jobs, and with the pods that they become."""
    space = cluster.namespace
    lacking = [entry for entry in _NEEDED if not cluster.is_allowed(entry, namespace=space)]
    if lacking:
        verbs = ", ".join(entry.verb for entry in lacking)
        all_verbs = ",".join(entry.verb for entry in _NEEDED)
        yield Check(
            "rights",
            CheckState.FAILED,
            f"you may not {verbs} {_JOBS} in {space}; an administrator can grant it",
            f"kubectl -n {space} create role trimtab-user --verb={all_verbs} --resource={_JOBS}"
            f" && kubectl -n {space} create rolebinding trimtab-user --role=trimtab-user"
            " --user=USER",
        )
    else:
        yield Check("rights", CheckState.OK, f"you may create, change and watch jobs in {space}")
    yield from _note_lacking(
        cluster,
        _USEFUL,
        "which helps when a job does not start",
        f"kubectl -n {space} create rolebinding trimtab-view --clusterrole=view --user=USER",
    )
    yield from _note_lacking(
        cluster,
        _COPYING,
        "which `trimtab fetch` needs where results lie on a claim",
        f"kubectl -n {space} create role trimtab-fetch --verb=create,get,list,watch,delete"
        " --resource=pods,pods/exec"
        f" && kubectl -n {space} create rolebinding trimtab-fetch --role=trimtab-fetch"
        " --user=USER",
    )


def _note_lacking(
    cluster: AbstractCluster, permissions: tuple[Permission, ...], use: str, remedy: str
) -> Iterator[Check]:
    space = cluster.namespace
    lacking = [entry for entry in permissions if not cluster.is_allowed(entry, namespace=space)]
    if lacking:
        verbs = ", ".join(
            f"{entry.verb} {entry.resource}{'/' if entry.subresource else ''}{entry.subresource}"
            for entry in lacking
        )
        yield Check("rights", CheckState.NOTE, f"you may not {verbs} in {space}, {use}", remedy)
