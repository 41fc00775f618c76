"""The CustomResourceDefinition of OptimizationJob, from the models of the contract.

Called by `__main__`, which writes it to `crds/`. The schemas come from `structural`; here are the
names, the columns of `kubectl get` and the rule on an object's own name.
"""

from typing import Any

from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.job import (
    API_VERSION,
    GROUP,
    KIND,
    VERSION,
    Metadata,
    OptimizationJob,
    Spec,
)
from trimtab_api.v1alpha1.status import (
    Condition,
    FailureCount,
    ParameterValue,
    ParetoPoint,
    StageStatus,
    Status,
    TargetStatus,
)
from trimtab_codegen.structural import Options, build_schema

__all__ = ["PLURAL", "build_crd", "build_spec_schema", "build_status_schema"]

PLURAL = "optimizationjobs"

_LONGEST_STATUS_STRING = 1024

# Lists of the spec have no keys: the first objective and the first target mean more than the rest,
# and the equality of keyed lists, which immutability is made of, would not see a change of order.
_STATUS_KEYS: dict[type[ApiModel], str] = {
    Condition: "type",
    FailureCount: "failure_class",
    ParameterValue: "name",
    ParetoPoint: "id",
    StageStatus: "name",
    TargetStatus: "name",
}

_COLUMNS = (
    ("State", "string", ".status.state", 0),
    ("Stage", "string", ".status.stage", 0),
    ("Trials", "string", ".status.trials.summary", 0),
    ("Best", "number", ".status.best.value", 0),
    ("Drop", "number", ".status.result.drop", 0),
    ("Speedup", "number", ".status.result.speedup", 0),
    ("SizeMiB", "number", ".status.result.sizeMiB", 0),
    ("Goals", "string", f'.status.conditions[?(@.type=="{ConditionType.GOALS_MET}")].status', 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Attempt", "integer", ".status.attempt", 1),
    ("RayJob", "string", ".status.cluster.rayJob", 1),
    ("Artifact", "string", ".status.result.artifact", 1),
    ("Message", "string", ".status.message", 1),
)


def build_crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as plain data."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": ["trimtab"],
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "shortNames": ["trim"],
                "singular": KIND.lower(),
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_build_column(*column) for column in _COLUMNS],
                    "schema": {"openAPIV3Schema": _build_root_schema()},
                }
            ],
        },
    }


def build_spec_schema() -> dict[str, Any]:
    """Return the structural schema of `spec`, transition rules included."""
    return build_schema(Spec, Options(is_immutable=True, has_defaults=True))


def build_status_schema() -> dict[str, Any]:
    """Return the structural schema of `status`: no defaults, every string bounded."""
    options = Options(
        is_immutable=False,
        has_defaults=False,
        longest_string=_LONGEST_STATUS_STRING,
        list_keys=_STATUS_KEYS,
    )
    return build_schema(Status, options)


def _build_root_schema() -> dict[str, Any]:
    # The rest of the metadata is Kubernetes' own, and has no bounds of ours.
    name = Metadata.model_json_schema()["properties"]["name"]
    return {
        "description": OptimizationJob.__doc__,
        "type": "object",
        "properties": {
            "apiVersion": {"description": f"{API_VERSION}.", "type": "string"},
            "kind": {"description": f"{KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": build_spec_schema(),
            "status": build_status_schema(),
        },
        "required": ["spec"],
        "x-kubernetes-validations": [
            {
                "rule": f"size(self.metadata.name) <= {name['maxLength']}"
                f" && self.metadata.name.matches('{name['pattern']}')",
                "message": "metadata.name must be an RFC 1035 label of at most"
                f" {name['maxLength']} characters",
            }
        ],
    }


def _build_column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column
