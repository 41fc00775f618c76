"""The pods that a job becomes, read from the manifests of its children. Pure.

Called by `references` and `capacity`, so that both judge what would really be created.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PodDemand", "list_pods"]


@dataclass(frozen=True, slots=True)
class PodDemand:
    """Some pods that are alike."""

    name: str
    """What they are: head, workers, submitter, target <name>."""
    count: int
    spec: Mapping[str, Any]
    """Of the pod, as Kubernetes has it."""


def list_pods(children: Sequence[Mapping[str, Any]]) -> tuple[PodDemand, ...]:
    """Return the pods of a job's children."""
    return tuple(_find_pods(children))


def _find_pods(children: Sequence[Mapping[str, Any]]) -> Iterator[PodDemand]:
    for child in children:
        match child["kind"]:
            case "RayJob":
                spec = child["spec"]
                cluster = spec["rayClusterSpec"]
                yield PodDemand("head", 1, cluster["headGroupSpec"]["template"]["spec"])
                for group in cluster["workerGroupSpecs"]:
                    yield PodDemand("workers", group["replicas"], group["template"]["spec"])
                yield PodDemand("submitter", 1, spec["submitterPodTemplate"]["spec"])
            case "Job":
                name = f"measuring {child['metadata']['name']}"
                yield PodDemand(name, 1, child["spec"]["template"]["spec"])
            case _:
                continue
