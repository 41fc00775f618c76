"""Wrong and odd edits of a job, generated from the schema that the API server holds.

Each field is deleted, emptied, set to its bounds and past them, flipped, or given a word that it does
not know; pods get what Acto gives to operators. What must follow is told by `edited_jobs`.
"""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.api import Manifest

__all__ = ["REMOVED", "Operation", "change", "generate_operations", "rich_spec", "sample"]

REMOVED = object()
"""Stands for a field that is taken out."""

Path = tuple[str | int, ...]

# Bounds that a schema does not have to name.
_FAR = 2**31


@dataclass(frozen=True, slots=True)
class Operation:
    """One edit: the field at a path gets a value."""

    kind: str
    path: Path
    value: Any

    def __str__(self) -> str:
        """Return `min of spec.seed`."""
        return f"{self.kind} of spec.{'.'.join(map(str, self.path))}"


def rich_spec() -> Manifest:
    """Return a spec that names a field of nearly every kind, so that there is what to break."""
    pods = {
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": 2, "memory": "4Gi"}},
        "nodeSelector": {"pool": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "template": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    }
    return {
        "seed": 7,
        "backoffLimit": 2,
        "model": {"builtin": "small-cnn", "args": {"width": 8}},
        "dataset": {"builtin": "digits"},
        "task": {"builtin": "classification"},
        "constraints": [{"metric": "accuracy", "maxDrop": 0.02}],
        "targets": [
            {
                "name": "edge",
                "profile": "cpu-edge",
                "threads": 1,
                "nodeSelector": {"pool": "edge"},
            }
        ],
        "failurePolicy": {"rules": [{"class": "Timeout", "actions": ["Retry"]}]},
        "stages": {
            "search": {
                "numTrials": 8,
                "parallelTrials": 2,
                "algorithm": {"bayesian": {"startupTrials": 4}},
                "parameters": [
                    {
                        "name": "train.learningRate",
                        "searchSpace": {"logUniform": {"min": 0.001, "max": 0.1}},
                    }
                ],
            },
            "train": {"epochs": 3},
            "prune": {"finetune": {"epochs": 1}},
            "quantize": {},
            "export": {"formats": ["onnx"]},
            "benchmark": {"repeats": 30},
        },
        "storage": {"uri": "s3://runs/all"},
        "cluster": {
            "device": "cpu",
            "image": "team/trainer:1",
            "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            "head": copy.deepcopy(pods),
            "workers": {**copy.deepcopy(pods), "replicas": 2},
        },
    }


def generate_operations(schema: Manifest) -> list[Operation]:
    """Return all operations, in an order that never changes.

    Args:
        schema: Of `spec`, as the definition on the server has it.
    """
    found = [*_generate(schema, (), rich_spec()), *_name_pod_operations()]
    return [operation for operation in found if operation.path]


def sample(operations: list[Operation], seed: int, count: int) -> list[Operation]:
    """Return some operations, the same ones for the same seed."""
    return random.Random(seed).sample(operations, min(count, len(operations)))


def change(spec: Manifest, operation: Operation) -> Manifest:
    """Return a spec after an operation; parents that are absent are made."""
    changed = copy.deepcopy(spec)
    here: Any = changed
    for step in operation.path[:-1]:
        here = here.setdefault(step, {}) if isinstance(here, dict) else here[step]
    last = operation.path[-1]
    if operation.value is REMOVED:
        del here[last]
    else:
        here[last] = copy.deepcopy(operation.value)
    return changed


def _generate(schema: Manifest, path: Path, present: Any) -> Iterator[Operation]:
    if present is not None:
        yield Operation("delete", path, REMOVED)
    match schema.get("type"):
        case "object":
            yield from _generate_object(schema, path, present)
        case "array":
            yield from _generate_array(schema, path, present)
        case "integer" | "number":
            yield from _generate_number(schema, path)
        case "boolean":
            for value in (True, False):
                yield Operation("flip", path, value)
            yield Operation("bad type", path, "yes")
        case "string":
            yield from _generate_text(schema, path)
        case _:
            yield Operation("bad type", path, {"a": ["b"]})


def _generate_object(schema: Manifest, path: Path, present: Any) -> Iterator[Operation]:
    yield Operation("empty", path, {})
    yield Operation("bad type", path, "text")
    yield Operation("unknown field", (*path, "frobnicate"), 1)
    for name, below in schema.get("properties", {}).items():
        inner = present.get(name) if isinstance(present, dict) else None
        yield from _generate(below, (*path, name), inner)


def _generate_array(schema: Manifest, path: Path, present: Any) -> Iterator[Operation]:
    yield Operation("empty", path, [])
    yield Operation("bad type", path, "text")
    if not isinstance(present, list):
        return
    yield Operation("twice", path, [*present, *present])
    yield Operation("too many", path, present * (schema.get("maxItems", 64) + 1))
    yield from _generate(schema["items"], (*path, 0), present[0])


def _generate_number(schema: Manifest, path: Path) -> Iterator[Operation]:
    least, most = schema.get("minimum"), schema.get("maximum")
    step = 1 if schema["type"] == "integer" else 0.5
    yield Operation("min", path, -_FAR if least is None else least)
    yield Operation("max", path, _FAR if most is None else most)
    if least is not None:
        yield Operation("below min", path, least - step)
    if most is not None:
        yield Operation("above max", path, most + step)
    yield Operation("bad type", path, "1")


def _generate_text(schema: Manifest, path: Path) -> Iterator[Operation]:
    yield Operation("empty", path, "")
    yield Operation("bad type", path, 5)
    for value in schema.get("enum", ()):
        yield Operation("flip", path, value)
    yield Operation("bad word", path, "Nonsense!")
    yield Operation("too long", path, "x" * (schema.get("maxLength", 1024) + 1))


def _name_pod_operations() -> Iterator[Operation]:
    selector = {"labelSelector": {"matchLabels": {"team": "a"}}}
    terms = [{"matchExpressions": [{"key": "moon", "operator": "Exists"}]}]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    one_node = [{**selector, "topologyKey": "kubernetes.io/hostname"}]
    spread = {"maxSkew": 1, "topologyKey": "nowhere", "whenUnsatisfiable": "DoNotSchedule"}
    templates: dict[str, Manifest] = {
        "affinity to no node": {
            "affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}
        },
        "affinity of a wrong type": {"affinity": {"nodeAffinity": {required: 5}}},
        "all on one node": {"affinity": {"podAffinity": {required: one_node}}},
        "topology key": {"topologySpreadConstraints": [{**spread, **selector}]},
        "root": {"securityContext": {"runAsUser": 0}},
        "probe": {"livenessProbe": {"exec": {"command": ["false"]}}},
        "restart policy": {"restartPolicy": "Never"},
        "name": {"hostname": "a" * 300},
        "host path": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        "storage class": {
            "volumes": [
                {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {"size": "-1Gi"}}}}
            ]
        },
        "runtime class": {"runtimeClassName": "gvisor"},
    }
    for name, template in templates.items():
        for group in ("head", "workers"):
            yield Operation(f"pod's {name}", ("cluster", group, "template"), template)
    more: dict[Path, list[Any]] = {
        ("cluster", "workers", "tolerations", 0, "effect"): ["Always", "NoExecute"],
        ("cluster", "workers", "tolerations", 0, "operator"): ["Maybe", "Equal"],
        ("cluster", "workers", "replicas"): [-1, "1", 3],
        ("cluster", "workers", "resources", "limits", "cpu"): ["-1", "many", "500m", 0],
        ("cluster", "workers", "resources", "requests", "cpu"): ["64"],
        ("cluster", "workers", "nodeSelector", "pool"): ["not a label!", "b", 5],
        ("cluster", "priorityClassName"): ["royal", "Not A Name"],
        ("cluster", "serviceAccountName"): ["nobody", "Not A Name"],
        ("storage", "uri"): ["pvc://nowhere/runs", "s3://me:pw@runs/all", "file:///tmp"],
    }
    for path, values in more.items():
        for value in values:
            yield Operation("pod's value", path, value)
