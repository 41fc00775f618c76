"""Whether the definition of OptimizationJob in a cluster is the one of this version. Pure.

Called by `installation`. There is no version number to trust: the definition itself is compared,
field by field, with the models of the contract.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab_api.v1alpha1.job import OptimizationJob

__all__ = ["SchemaDifference", "compare_schema"]

_BRANCHES = ("anyOf", "allOf", "oneOf")
_DEEPEST = 24


class SchemaDifference:
    """Fields of the spec that only one side has."""

    def __init__(self, lacking: tuple[str, ...], additional: tuple[str, ...]) -> None:
        self.lacking = lacking
        """Known here and not in the cluster: its definition is older."""
        self.additional = additional
        """Known in the cluster and not here: the command line is older."""


def compare_schema(published: Mapping[str, Any]) -> SchemaDifference:
    """Compare a definition with this version's.

    Args:
        published: The schema of the kind as a cluster publishes it (OpenAPI).
    """
    ours = OptimizationJob.model_json_schema(by_alias=True)
    definitions = ours.get("$defs", {})
    known = _properties(ours, definitions).get("spec", {})
    found = _properties(published, {}).get("spec", {})
    lacking = _list_missing(known, found, definitions, "spec")
    additional = _list_missing(found, known, definitions, "spec")
    return SchemaDifference(tuple(lacking), tuple(additional))


def _list_missing(
    wanted: Mapping[str, Any], given: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> Iterator[str]:
    """Yield the fields of one schema that another one lacks, the outermost of each branch."""
    if path.count(".") > _DEEPEST:
        return
    left, right = _properties(wanted, definitions), _properties(given, definitions)
    # What one side leaves open, such as a pod's affinity, has no fields to compare.
    if not left or not right:
        return
    for name, schema in left.items():
        here = f"{path}.{name}"
        if name not in right:
            yield here
        else:
            yield from _list_missing(schema, right[name], definitions, here)


def _properties(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an object, or of the objects of a list, through every reference."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _properties(definitions.get(reference.rpartition("/")[2], {}), definitions)
    found: dict[str, Any] = {}
    for keyword in _BRANCHES:
        for branch in schema.get(keyword, ()):
            found |= _properties(branch, definitions)
    if isinstance(schema.get("items"), Mapping):
        found |= _properties(schema["items"], definitions)
    return found | dict(schema.get("properties", {}))
