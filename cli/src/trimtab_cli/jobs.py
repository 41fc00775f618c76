"""A job of a cluster, read so that an operator of another version does not stop us.

Called by the commands that look at jobs. What this version does not know is left out of the status;
`-o json` prints the object itself.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trimtab_api.v1alpha1.status import Status
from trimtab_api.verdict import Verdict, find_verdict

__all__ = ["ClusterJob", "read_job"]

# Each round removes every unknown part that the one before could see.
_MOST_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """What the command line wants to know of a job."""

    name: str
    namespace: str
    uid: str
    version: str
    """resourceVersion."""
    metric: str
    """The primary metric."""
    image: str | None
    """The job's own image; None = the operator's."""
    placement: Mapping[str, Any]
    """What a pod needs to run where the head does, spelt as in a pod; only what the job says."""
    status: Status
    is_current: bool
    """Whether the operator has seen the spec as it is now."""

    def verdict(self) -> Verdict:
        """Return how the job ended; unfinished too while the operator has an edit to read."""
        return find_verdict(self.status) if self.is_current else Verdict.UNFINISHED


def read_job(document: Mapping[str, Any]) -> ClusterJob:
    """Return what an OptimizationJob of the API server says."""
    metadata = _mapping(document, "metadata")
    spec = _mapping(document, "spec")
    objectives = spec.get("objectives")
    cluster = _mapping(spec, "cluster")
    first = objectives[0] if isinstance(objectives, list) and objectives else {}
    status = _read_status(_mapping(document, "status"))
    seen = status.observed_generation
    generation = metadata.get("generation")
    return ClusterJob(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        version=str(metadata.get("resourceVersion", "")),
        metric=str(first.get("metric", "accuracy")) if isinstance(first, dict) else "accuracy",
        image=cluster.get("image"),
        placement=_read_placement(cluster),
        status=status,
        is_current=not isinstance(generation, int) or (seen or 0) >= generation,
    )


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _read_placement(cluster: Mapping[str, Any]) -> dict[str, Any]:
    head = _mapping(cluster, "head")
    placement = {
        "imagePullSecrets": cluster.get("imagePullSecrets"),
        "nodeSelector": head.get("nodeSelector"),
        "tolerations": head.get("tolerations"),
    }
    return {key: value for key, value in placement.items() if value}


def _read_status(raw: Mapping[str, Any]) -> Status:
    """Parse a status, without the parts that this version cannot read."""
    known: Any = copy.deepcopy(dict(raw))
    for _ in range(_MOST_ROUNDS):
        try:
            return Status.model_validate(known)
        except ValidationError as error:
            # Backwards, so that the places of entries that are still to be removed stay right.
            for problem in reversed(error.errors(include_url=False, include_input=False)):
                is_missing = problem["type"] == "missing"
                _remove(known, problem["loc"][:-1] if is_missing else problem["loc"])
    return Status()


def _remove(root: Any, path: Sequence[int | str]) -> None:
    """Remove what stands at a path; nothing where an earlier problem lay there already."""
    parent: Any = None
    key: int | str = ""
    here = root
    for part in path:
        if here is None or isinstance(here, str | int | float):
            break  # the rest of the path names a branch of a union
        try:
            parent, key, here = here, part, here[part]
        except (KeyError, IndexError):
            return
    if parent is not None:
        del parent[key]
