"""All that is left of a job in its namespace, without what differs from run to run.

Two runs of one script must leave the same: the oracle of crash points and of other faults.
"""

import json
import re
from collections.abc import Iterator

from cluster.api import Manifest
from cluster.played_ray import PlayedRay

__all__ = ["compare", "read_final"]

Final = dict[str, str]

_VARYING = frozenset({"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"})
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# Measured times, and numbers of reports, also inside of texts that are JSON.
_MEASURED = re.compile(r'(\\*"(?:active_seconds|activeSeconds|sequence)\\*": ?)[0-9.e+-]+')


def read_final(ray: PlayedRay) -> Final:
    """Return the job and its children as texts, by kind and name."""
    job = ray.cluster.api.find("OptimizationJob", ray.job, ray.namespace)
    found = {f"{kind}/{name}": child for (kind, name), child in ray.read_children().items()}
    if job is not None:
        found["OptimizationJob"] = _forget_trouble(job)
    if ray.heads is not None:
        _forget_cluster(found)
    uid = job["metadata"]["uid"] if job else ""
    return {key: _normalize(child, ray.namespace, uid) for key, child in found.items()}


def compare(wanted: Final, found: Final) -> Iterator[str]:
    """Yield what differs, a line per object."""
    for key in sorted(wanted.keys() | found.keys()):
        if key not in found:
            yield f"{key} is missing"
        elif key not in wanted:
            yield f"{key} is one too many"
        elif wanted[key] != found[key]:
            yield f"{key} differs: {_first_difference(wanted[key], found[key])}"


def _forget_cluster(found: dict[str, Manifest]) -> None:
    """Drop the RayJobs of tier K: who is the first to clear one that is done with, is chance."""
    for key in [key for key in found if key.startswith("RayJob/")]:
        del found[key]
    found.get("OptimizationJob", {}).get("status", {}).pop("cluster", None)


def _forget_trouble(job: Manifest) -> Manifest:
    """Drop the trouble that is over: on a slow machine somebody is called late who is not."""
    status = dict(job.get("status", {}))
    over = ("Degraded", "False")
    if "conditions" in status:
        told = status["conditions"]
        status["conditions"] = [one for one in told if (one["type"], one["status"]) != over]
    return {**job, "status": status}


def _normalize(document: Manifest, namespace: str, uid: str) -> str:
    kept = {k: v for k, v in document["metadata"].items() if k not in _VARYING}
    text = json.dumps({**document, "metadata": kept}, sort_keys=True, indent=1)
    text = _STAMP.sub("TIME", text.replace(namespace, "NAMESPACE"))
    return _MEASURED.sub(r"\1MEASURED", text.replace(uid, "UID") if uid else text)


def _first_difference(wanted: str, found: str) -> str:
    pairs = zip(wanted.splitlines(), found.splitlines(), strict=False)
    lines = next(((one, two) for one, two in pairs if one != two), ("", "more or fewer lines"))
    return f"{lines[1].strip()} instead of {lines[0].strip()}"
