"""A definition is compared with this version's, field by field."""

from typing import Any

from cluster_objects import make_published
from trimtab_cli.doctor.schema import compare_schema


def find_kind(document: dict[str, Any]) -> dict[str, Any]:
    kind: dict[str, Any] = document["components"]["schemas"]["dev.trimtab.OptimizationJob"]
    return kind


def test_the_same_definition_differs_in_nothing() -> None:
    difference = compare_schema(find_kind(make_published()))

    assert (difference.lacking, difference.additional) == ((), ())


def test_an_older_definition_lacks_fields() -> None:
    kind = find_kind(make_published())
    spec = kind["properties"]["spec"]["properties"]
    del spec["stages"]["properties"]["search"]["properties"]["warmStart"]
    del spec["objectives"]["items"]["properties"]["goal"]

    lacking = compare_schema(kind).lacking

    assert set(lacking) == {"spec.objectives.goal", "spec.stages.search.warmStart"}


def test_a_newer_definition_has_more_fields() -> None:
    kind = find_kind(make_published())
    kind["properties"]["spec"]["properties"]["weather"] = {"type": "string"}

    assert compare_schema(kind).additional == ("spec.weather",)


def test_a_definition_that_is_not_published_has_nothing_to_compare() -> None:
    difference = compare_schema({})

    assert (difference.lacking, difference.additional) == ((), ())
