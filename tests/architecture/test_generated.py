"""What is generated from the contract is current, and an API server and readers can take it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import cel
import jsonschema
import kubernetes_validate
import pytest
from pydantic import Field
from ruamel.yaml import YAML

from report_builder import make_failed_report, make_missed_report, make_partial_report, make_report
from source_tree import ROOT
from trimtab_api.v1alpha1._base import ApiModel, Mutability
from trimtab_api.v1alpha1.job import Spec
from trimtab_codegen.crd import build_crd, build_spec_schema, build_status_schema
from trimtab_codegen.structural import Options, build_schema

CRD = ROOT / "crds" / "optimizationjobs.trimtab.dev.yaml"
REPORT_SCHEMA = ROOT / "docs" / "reference" / "report.schema.json"

Schema = dict[str, Any]

# What a structural schema refuses, besides what it has no word for.
FOREIGN = {
    "$ref",
    "$defs",
    "title",
    "const",
    "anyOf",
    "oneOf",
    "propertyNames",
    "patternProperties",
    "discriminator",
}


class Inner(ApiModel):
    """A part of which one field may change."""

    mutability: ClassVar[dict[str, Mutability]] = {"rate": Mutability.AT_ONCE}

    rate: int = 1
    """Rate."""
    size: int = 1
    """Size."""


class Outer(ApiModel):
    """A whole."""

    part: Inner = Field(default_factory=Inner)
    """Part."""
    seed: int = 0
    """Seed."""


class Endless(ApiModel):
    """A model with a string of any length."""

    name: str
    """Name."""


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def list_nodes() -> list[tuple[str, Schema]]:
    return [*walk(build_spec_schema(), "spec"), *walk(build_status_schema(), "status")]


def rules_of(model: type[ApiModel], name: str | None = None) -> dict[str, str]:
    schema = build_schema(model, Options(is_immutable=True, has_defaults=True, longest_string=64))
    node = schema if name is None else schema["properties"][name]
    return {rule["message"]: rule["rule"] for rule in node.get("x-kubernetes-validations", ())}


def test_generated_files_are_current() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "trimtab_codegen", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_file_holds_what_was_built() -> None:
    assert YAML(typ="safe").load(CRD) == build_crd()
    assert CRD.read_text(encoding="utf-8").startswith("# GENERATED from api/ by trimtab_codegen")


def test_the_file_reads_alike_as_yaml_1_1() -> None:
    """The parser of kubectl takes a bare Off for false, though 1e-09 for a number."""
    old: Any = YAML(typ="safe", pure=True)
    old.version = (1, 1)
    text = json.dumps(old.load(CRD)).replace('"1e-09"', "1e-09")
    assert text == json.dumps(build_crd())


def test_the_crd_is_valid_for_kubernetes() -> None:
    kubernetes_validate.validate(build_crd(), "1.37", strict=True)


def test_the_schema_is_structural() -> None:
    for path, node in list_nodes():
        assert FOREIGN & set(node) == set(), path
        assert node.get("additionalProperties") is not False, path
        assert not {"properties", "additionalProperties"} <= set(node), path
        for limit in ("exclusiveMinimum", "exclusiveMaximum"):
            assert node.get(limit, True) is True, path
        untyped = {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"}
        assert "type" in node or untyped & set(node), path


def test_every_string_list_and_map_is_bounded() -> None:
    for path, node in list_nodes():
        kind = node.get("type")
        if kind == "string":
            assert "enum" in node or "maxLength" in node, path
        if kind == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        if kind is None and "x-kubernetes-int-or-string" not in node:
            bounds = [node.get(key) for key in ("maxLength", "maxItems", "maxProperties")]
            assert bounds == [256, 0, 0], path


def test_every_field_is_described() -> None:
    for path, node in list_nodes():
        if not path.endswith(("[]", "{}")):
            assert node.get("description"), path


def test_defaults_fit_their_own_schema() -> None:
    for path, node in walk(build_spec_schema(), "spec"):
        if "default" in node:
            draft = jsonschema.Draft4Validator(node)  # its exclusive bounds are booleans too
            assert list(draft.iter_errors(node["default"])) == [], path


def test_defaults_keep_the_rules_beside_them() -> None:
    """An API server fills in a default as it stands, and then evaluates the rules over it."""
    for path, node in walk(build_spec_schema(), "spec"):
        for rule in node.get("x-kubernetes-validations", ()):
            if "default" in node and "oldSelf" not in rule["rule"]:
                assert cel.evaluate(rule["rule"], {"self": node["default"]}) is True, path


def test_no_bound_of_the_contract_is_lost() -> None:
    search = build_spec_schema()["properties"]["stages"]["properties"]["search"]["properties"]
    points = search["warmStart"]["properties"]["points"]
    assert (points["maxItems"], points["items"]["minProperties"]) == (32, 1)
    assert points["items"]["maxProperties"] == 32
    step = search["parameters"]["items"]["properties"]["searchSpace"]["properties"]["uniform"]
    assert step["properties"]["step"]["minimum"] == 1e-9


def test_f31_every_field_that_may_change_has_no_transition_rule() -> None:
    spec = build_spec_schema()["properties"]
    for node, mutable in (
        (
            spec["stages"]["properties"]["search"],
            {
                "numTrials",
                "parallelTrials",
                "maxFailedTrials",
                "trialTimeoutSeconds",
                "warmStart",
            },
        ),
        (spec["cluster"], set(spec["cluster"]["properties"])),
        (spec["failurePolicy"], {"rules"}),
    ):
        rules = node.get("x-kubernetes-validations", ())
        fixed = {rule["message"].split()[0] for rule in rules if "oldSelf" in rule["rule"]}
        assert fixed == set(node["properties"]) - mutable
        for name in mutable:
            parts = [part for _, part in walk(node["properties"][name])]
            assert "oldSelf" not in str([part.get("x-kubernetes-validations") for part in parts])


def test_f31_every_immutable_field_of_the_spec_has_a_transition_rule_of_its_own() -> None:
    rules = rules_of(Spec)
    fixed = {message.split()[0] for message, rule in rules.items() if "oldSelf" in rule}
    assert set(build_spec_schema()["properties"]) - fixed == {
        "suspend",
        "backoffLimit",
        "activeDeadlineSeconds",
        "preRunningDeadlineSeconds",
        "ttlSecondsAfterFinished",
    }
    for name in ("seed", "model", "dataset", "targets", "storage", "managedBy"):
        assert f"{name} is immutable" in rules


def test_a_quantity_is_a_number_or_a_string_and_a_template_any_object() -> None:
    workers = build_spec_schema()["properties"]["cluster"]["properties"]["workers"]["properties"]
    limits = workers["resources"]["properties"]["limits"]["additionalProperties"]
    assert limits["x-kubernetes-int-or-string"] is True
    assert limits["pattern"].startswith("^([0-9]+")
    template = {
        key: workers["template"][key] for key in workers["template"] if key != "description"
    }
    assert template == {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "default": {},
    }


def test_a_status_has_no_defaults() -> None:
    assert [path for path, node in walk(build_status_schema()) if "default" in node] == []


def test_rules_read_no_field_that_cel_cannot_see() -> None:
    for path, node in list_nodes():
        hidden = [
            name
            for name, child in node.get("properties", {}).items()
            if child.get("additionalProperties", child.get("items", child)).get(
                "x-kubernetes-preserve-unknown-fields"
            )
        ]
        for rule in node.get("x-kubernetes-validations", ()):
            assert not any(f"elf.{name}" in rule["rule"] for name in hidden), path


def test_the_message_of_a_rule_begins_with_the_field_to_blame() -> None:
    assert rules_of(Spec)["targets must have unique names"].startswith("self.targets.all(")


def test_a_union_is_one_rule_and_a_range_keeps_its_open_end() -> None:
    prune = build_spec_schema()["properties"]["stages"]["properties"]["prune"]
    amount = prune["properties"]["amount"]
    assert [rule["rule"] for rule in amount["x-kubernetes-validations"]] == [
        "[has(self.ratio), has(self.paramsReduction), has(self.flopsReduction)].exists_one(x, x)"
    ]
    assert amount["properties"]["ratio"] == {
        "description": "Share of the channels, or of the weights with granularity Weights; of each layer with allocation Uniform.",
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


def test_f28_the_resource_is_found_by_its_own_names() -> None:
    spec = build_crd()["spec"]
    assert (spec["group"], spec["scope"]) == ("trimtab.dev", "Namespaced")
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == (["trim"], ["trimtab"])
    (version,) = spec["versions"]
    assert version["subresources"] == {"status": {}}
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == [
        "State",
        "Stage",
        "Trials",
        "Best",
        "Drop",
        "Speedup",
        "SizeMiB",
        "Goals",
        "Age",
    ]
    assert [column["name"] for column in columns if column.get("priority")] == [
        "Attempt",
        "RayJob",
        "Artifact",
        "Message",
    ]


def test_columns_read_fields_that_there_are() -> None:
    version = build_crd()["spec"]["versions"][0]
    known = {path for path, _ in walk(build_status_schema(), ".status")}
    paths = {entry["jsonPath"] for entry in version["additionalPrinterColumns"]}
    conditions = {path for path in paths if path.startswith(".status.conditions[?")}
    assert len(conditions) == 1
    assert paths - known - conditions == {".metadata.creationTimestamp"}


def test_lists_of_the_status_have_keys_that_entries_must_have() -> None:
    for path, node in walk(build_status_schema(), "status"):
        if "properties" in node.get("items", {}):
            assert node["x-kubernetes-list-type"] == "map", path
            assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path


def test_lists_of_the_spec_have_no_keys_for_their_order_is_compared_too() -> None:
    keyed = [path for path, node in walk(build_spec_schema()) if "x-kubernetes-list-type" in node]
    assert keyed == []


def test_a_part_without_mutable_fields_is_compared_whole() -> None:
    assert rules_of(Outer)["seed is immutable"] == (
        "has(self.seed) == has(oldSelf.seed) && (!has(self.seed) || self.seed == oldSelf.seed)"
    )


def test_a_part_with_mutable_fields_is_compared_field_by_field() -> None:
    assert rules_of(Outer)["part is immutable in being set or absent"] == (
        "has(self.part) == has(oldSelf.part)"
    )
    assert set(rules_of(Outer, "part")) == {"size is immutable"}


def test_a_string_without_bound_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Endless\.name must have a maxLength"):
        build_schema(Endless, Options(is_immutable=False, has_defaults=True))


@pytest.mark.parametrize(
    "make", [make_report, make_missed_report, make_failed_report, make_partial_report]
)
def test_a_report_fits_its_published_schema(make: Any) -> None:
    schema = YAML(typ="safe").load(REPORT_SCHEMA)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(make().model_dump(mode="json", by_alias=True, exclude_none=True), schema)
