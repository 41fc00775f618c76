"""Builds what `trimtab doctor` looks at: nodes, pods of operators, a published definition."""

from typing import Any

from small_api import SmallApi
from trimtab_api.v1alpha1.job import OptimizationJob

__all__ = ["make_node", "make_operator_pod", "make_published", "prepare_cluster"]

OPERATOR_PODS = (
    "/api/v1/pods?labelSelector=app.kubernetes.io/name=trimtab,app.kubernetes.io/component=operator"
)
KUBERAY_PODS = "/api/v1/pods?labelSelector=app.kubernetes.io/component=kuberay-operator"
DEFINITION = "/openapi/v3/apis/trimtab.dev/v1alpha1"


def make_node(
    name: str = "n1",
    *,
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    **allocatable: str,
) -> dict[str, Any]:
    """Return an empty node of 8 cores and 32 GiB; `gpu` stands for nvidia.com/gpu."""
    offer = {"cpu": "8", "memory": "32Gi", "pods": "110", **allocatable}
    if "gpu" in offer:
        offer["nvidia.com/gpu"] = offer.pop("gpu")
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints} if taints else {},
        "status": {"allocatable": offer},
    }


def make_operator_pod(
    image: str, *, ready: bool = True, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    entries = [{"name": name, "value": value} for name, value in (environment or {}).items()]
    return {
        "metadata": {
            "name": "operator-0",
            "namespace": "trimtab-system",
            "labels": {"app.kubernetes.io/instance": "tuning"},
        },
        "spec": {"containers": [{"image": image, "env": entries}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def make_published() -> dict[str, Any]:
    """Return this version's definition as a server publishes it: without references."""
    schema = OptimizationJob.model_json_schema(by_alias=True)
    inlined = _inline(schema, schema["$defs"])
    group = {"group": "trimtab.dev", "version": "v1alpha1", "kind": "OptimizationJob"}
    kind = {**inlined, "x-kubernetes-group-version-kind": [group]}
    return {"components": {"schemas": {"Other": {}, "dev.trimtab.OptimizationJob": kind}}}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(entry, definitions) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    kept = {key: value for key, value in schema.items() if key != "$defs"}
    branches = [branch for branch in kept.get("anyOf", ()) if branch.get("type") != "null"]
    if len(branches) == 1:
        return _inline(branches[0], definitions)
    return {key: _inline(value, definitions) for key, value in kept.items()}


def prepare_cluster(api: SmallApi, **operator: str) -> None:
    """Make everything be there that a job without references needs."""
    api.add("/version", {"gitVersion": "v1.36.3", "major": "1", "minor": "36"})
    api.add(DEFINITION, make_published())
    environment = {"TRIMTAB_OPERATOR_TRAINER_IMAGE": "trainer:1", **operator}
    pod = make_operator_pod("trimtab-operator:0.1.0", environment=environment)
    api.add(OPERATOR_PODS, {"items": [pod]})
    api.add("/apis/ray.io/v1", {"resources": [{"name": "rayclusters"}, {"name": "rayjobs"}]})
    api.add(KUBERAY_PODS, {"items": [make_operator_pod("quay.io/kuberay/operator:v1.6.2")]})
    api.add("/api/v1/namespaces/vision", {})
    api.add("/api/v1/nodes", {"items": [make_node()]})
