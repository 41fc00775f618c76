"""Carrying out a plan: server-side apply and guarded deletes, one action after the other.

Nothing is forced, adopted or deleted by name alone. What a person must mend comes back as a
problem of the job; everything else is raised for the work queue to try again.
"""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import (
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
)
from trimtab_operator.cluster.kinds import JOB, OPTIMIZATION_JOB, RAY_JOB, ApiKind, find_kind
from trimtab_operator.reconcile.actions import Action, Apply, Delete, DeleteJob, PostEvent
from trimtab_operator.reconcile.verdict import Problem, Refusal

__all__ = ["Applier", "describe_problem"]

Json = Mapping[str, Any]

# The words of the API server where a schema has no such field.
_UNDECLARED = ("field not declared in schema", "unknown field")


class Applier:
    """Writes what was planned for one job at a time."""

    def __init__(self, client: Client, cache: WatchCache) -> None:
        self._client = client
        self._cache = cache

    async def apply(
        self, job: JobKey, actions: Iterable[Action], seen: Mapping[tuple[str, str], str]
    ) -> bool:
        """Carry out actions in order, up to the first that fails. Events are not posted here.

        A Job that the server refuses does not keep the Jobs of other targets from being made.

        Args:
            job: Whose actions they are.
            actions: In order.
            seen: The uid of each object that there is, by kind and name: what a manifest is
                applied to must still be that object, and a manifest of no object makes one.

        Returns:
            Whether anything is now other than it was.

        Raises:
            ClusterError: Of the first that failed.
        """
        refused: InvalidObjectError | None = None
        has_changed = False
        for action in actions:
            match action:
                case Apply(manifest) if manifest["kind"] == JOB.name:
                    try:
                        has_changed |= await self._apply(manifest, seen)
                    except InvalidObjectError as error:
                        refused = error
                case Apply(manifest):
                    has_changed |= await self._apply(manifest, seen)
                case Delete():
                    has_changed |= await self._delete(find_kind(action.kind), job, action)
                case DeleteJob():
                    has_changed |= await self._delete(OPTIMIZATION_JOB, job, action)
                case PostEvent():
                    pass
                case _:
                    assert_never(action)
        if refused is not None:
            raise refused
        return has_changed

    async def _apply(self, manifest: Json, seen: Mapping[tuple[str, str], str]) -> bool:
        kind = find_kind(manifest["kind"])
        uid = seen.get((kind.name, manifest["metadata"]["name"]))
        # The API server gives no new version to what it was only asked to leave as it is.
        return self._cache.put(kind, await self._client.apply(kind, manifest, uid), is_written=True)

    async def _delete(self, kind: ApiKind, job: JobKey, action: Delete | DeleteJob) -> bool:
        try:
            await self._client.delete(
                kind,
                job.namespace,
                action.name,
                uid=action.uid,
                resource_version=action.resource_version,
            )
        except NotFoundError:
            # Gone already, which is what was wanted; the event is on its way.
            return False
        return True


def describe_problem(
    error: ConflictError | ForbiddenError | InvalidObjectError,
) -> Problem | Refusal | None:
    """Return what a person must mend; None where the next try may do.

    Args:
        error: That ended a plan.
    """
    match error:
        case ForbiddenError():
            return Problem(
                DegradedReason.FORBIDDEN,
                f"the operator may not {error.request}: {error.message}",
            )
        case InvalidObjectError() if _is_too_old(error):
            return Problem(DegradedReason.KUBERAY_MISSING, f"{error.request}: {error.message}")
        case InvalidObjectError():
            return Refusal(f"{error.request}: {error.message}")
        case ConflictError() if error.fields:
            managers = sorted({conflict.manager for conflict in error.fields})
            fields = ", ".join(sorted(conflict.field for conflict in error.fields))
            return Problem(
                DegradedReason.FIELD_CONFLICT,
                f"{fields} of {error.request.resource} {error.request.name} belongs to"
                f" {' and '.join(managers)}",
            )
        case _:
            return None


def _is_too_old(error: InvalidObjectError) -> bool:
    """Return whether the definition of RayJobs lacks a field that the operator writes."""
    of_rayjob = error.request.resource == RAY_JOB.resource
    return of_rayjob and any(words in error.message for words in _UNDECLARED)
