"""`kubectl explain` says of each field what its docstring says."""

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_codegen.structural import model_below

pytestmark = pytest.mark.cluster_a


def innermost(schema: Manifest) -> Manifest:
    """Return the schema of the objects inside lists and maps."""
    while "properties" not in schema:
        schema = schema.get("items") or schema["additionalProperties"]
    return schema


def list_undescribed(schema: Manifest, model: type[ApiModel], path: str) -> list[str]:
    """Return the paths of fields whose published text is not the docstring's."""
    found: list[str] = []
    published = schema["properties"]
    for name, field in model.model_fields.items():
        node = published[field.alias]
        here = f"{path}.{field.alias}"
        if field.description not in node.get("description", ""):
            found.append(here)
        below = model_below(model, name)
        if below is not None and below.model_fields:
            found += list_undescribed(innermost(node), below, here)
    return found


def test_each_field_of_the_spec_is_published_with_its_text(api_server: Cluster) -> None:
    published = api_server.api.request("GET", "/openapi/v3/apis/trimtab.dev/v1alpha1")
    job = published["components"]["schemas"]["dev.trimtab.v1alpha1.OptimizationJob"]
    spec = model_below(OptimizationJob, "spec")
    assert spec is not None
    assert list_undescribed(job["properties"]["spec"], spec, "spec") == []


def test_kubectl_explains_a_field_by_its_path(api_server: Cluster) -> None:
    text = api_server.kubectl(
        "explain", "optimizationjobs.trimtab.dev.spec.stages.search.numTrials"
    )
    assert "numTrials" in text
    assert "DESCRIPTION" in text
