"""The API server refuses what the contract refuses, with the same words, and takes the rest."""

from typing import Any

import pytest

from cluster.access import Cluster
from cluster.api import ApiRefusedError
from cluster.fixtures import NamespaceMaker
from manifest_edits import edit_manifest
from rule_cases import CASES, CHOICES, PARAMETERS, UNIONS, Case, searching
from trimtab_api.v1alpha1._base import ApiModel, Rule
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_codegen.structural import model_below

pytestmark = pytest.mark.cluster_a


def list_models(model: type[ApiModel]) -> list[type[ApiModel]]:
    below = [model_below(model, name) for name in model.model_fields]
    return [model, *(inner for part in below if part is not None for inner in list_models(part))]


def list_rules() -> list[Rule]:
    return [rule for model in list_models(OptimizationJob) for rule in model.rules]


def try_create(server: Cluster, edits: dict[str, object]) -> dict[str, Any]:
    manifest = edit_manifest({"metadata.namespace": "default", **edits})
    return server.api.create(manifest, dry_run=True)


SEEN = {rule.message for rule in list_rules() if rule.cel is not None}
SERVER_CASES = {name: case for name, case in CASES.items() if case.message in SEEN}


def test_most_rules_are_seen_by_the_server() -> None:
    assert len(SERVER_CASES) > 0.7 * len(CASES)


@pytest.mark.parametrize("case", SERVER_CASES.values(), ids=SERVER_CASES)
def test_f34_the_server_refuses_what_breaks_a_rule(api_server: Cluster, case: Case) -> None:
    with pytest.raises(ApiRefusedError) as caught:
        try_create(api_server, case.broken)
    assert caught.value.code == 422
    assert case.message in caught.value.message


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_server_takes_what_keeps_a_rule(api_server: Cluster, case: Case) -> None:
    try_create(api_server, case.kept)


@pytest.mark.parametrize(("path", "none", "several", "one"), UNIONS.values(), ids=UNIONS)
def test_the_server_takes_exactly_one_member_of_a_union(
    api_server: Cluster, path: str, none: object, several: object, one: object
) -> None:
    base: dict[str, object] = searching(CHOICES) if path.startswith(PARAMETERS) else {}
    for wrong in (none, several):
        with pytest.raises(ApiRefusedError, match="must have exactly one of"):
            try_create(api_server, {**base, path: wrong})
    try_create(api_server, {**base, path: one})


MALFORMED = {
    "unknown-field": ({"spec.sead": 1}, 'unknown field "spec.sead"'),
    "wrong-type": ({"spec.seed": "seven"}, "must be of type integer"),
    "negative": ({"spec.seed": -1}, "spec.seed"),
    "zero": ({"spec.stages.train.epochs": 0}, "spec.stages.train.epochs"),
    "huge-integer": ({"spec.seed": 2**70}, "spec.seed"),
    "empty-list": ({"spec.targets": []}, "spec.targets"),
    "empty-choices": (searching({"categorical": {"choices": []}}), "choices"),
    "log-of-nothing": (searching({"logUniform": {"min": 0, "max": 1}}), "logUniform.min"),
    "name-of-41": ({"metadata.name": "a" * 41}, "metadata.name"),
    "name-of-unicode": ({"metadata.name": "größe"}, "metadata.name"),
    "credentials": (
        {"spec.model.weights": {"uri": "s3://user:secret@bucket/w"}},
        "spec.model.weights.uri",
    ),
}


@pytest.mark.parametrize(("edits", "words"), MALFORMED.values(), ids=MALFORMED)
def test_f29_f35_malformed_specs_are_refused_with_the_field(
    api_server: Cluster, edits: dict[str, object], words: str
) -> None:
    with pytest.raises(ApiRefusedError) as caught:
        try_create(api_server, edits)
    assert caught.value.code in {400, 422}
    assert words in caught.value.message


def test_f29_a_spec_of_a_megabyte_is_refused(api_server: Cluster) -> None:
    edits: dict[str, object] = {"spec.model.args": {"text": "x" * 2**20}}
    with pytest.raises(ApiRefusedError) as caught:
        try_create(api_server, edits)
    assert caught.value.code in {413, 422}


def test_f28_our_name_is_not_mistaken_for_another_projects(
    api_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(api_server)
    api_server.api.create(edit_manifest({"metadata.namespace": namespace}))
    table = api_server.kubectl("get", "trim", "--namespace", namespace)
    assert [column.title() for column in table.splitlines()[0].split()][:3] == [
        "Name",
        "State",
        "Stage",
    ]
    assert "digits" in table
