"""Each rule of the contract refuses what breaks it, at the field to blame, and passes its neighbour."""

import json
from collections.abc import Iterator

import cel
import pytest

from manifest_edits import edit_manifest
from rule_cases import CASES, CHOICES, PARAMETERS, UNIONS, Case, searching
from trimtab_api.findings import InvalidJobError, render_path
from trimtab_api.rules import check_rules
from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.quantize import ActivationDtype, Quantize, QuantizeMethod, WeightDtype
from trimtab_api.v1alpha1.runtime import FailureAction, FailureRule
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_api.validation import parse_job
from trimtab_codegen.structural import Options, build_schema


def find_errors(edits: dict[str, object]) -> dict[str, str]:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(edit_manifest(edits))
    return {render_path(finding.path): finding.expectation for finding in caught.value.findings}


def iter_models(model: type[ApiModel]) -> Iterator[type[ApiModel]]:
    yield model
    for field in model.model_fields.values():
        yield from iter_models_in(field.annotation)


def iter_models_in(annotation: object) -> Iterator[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield from iter_models(annotation)
    for inner in getattr(annotation, "__args__", ()):
        yield from iter_models_in(inner)


def iter_parts(part: object) -> Iterator[ApiModel]:
    if isinstance(part, ApiModel):
        yield part
        for name in type(part).model_fields:
            yield from iter_parts(getattr(part, name))
    if isinstance(part, tuple):
        for entry in part:
            yield from iter_parts(entry)


def read_parts(edits: dict[str, object]) -> Iterator[ApiModel]:
    """Yield the parts of a manifest whose types and bounds hold, its rules unchecked."""
    text = json.dumps(edit_manifest(edits))
    yield from iter_parts(OptimizationJob.model_validate_json(text, strict=True).spec)


def is_valid_by_cel(rule: str, part: ApiModel) -> bool:
    shown = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    return bool(cel.evaluate(rule, {"self": shown}))


def list_rules() -> list[Rule]:
    return [rule for model in iter_models(OptimizationJob) for rule in model.rules]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_breaks_a_rule_is_refused_at_the_field_to_blame(case: Case) -> None:
    assert find_errors(case.broken)[case.path] == case.message


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_keeps_a_rule_passes(case: Case) -> None:
    parse_job(edit_manifest(case.kept))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_rule_says_the_same_in_cel_and_in_python(case: Case) -> None:
    for edits in (case.broken, case.kept):
        for part in read_parts(edits):
            for rule in part.rules:
                if rule.cel is not None:
                    assert is_valid_by_cel(rule.cel, part) is rule.check(part), rule.message


@pytest.mark.parametrize(("path", "none", "several", "one"), UNIONS.values(), ids=UNIONS)
def test_a_union_takes_exactly_one_member(
    path: str, none: object, several: object, one: object
) -> None:
    base: dict[str, object] = searching(CHOICES) if path.startswith(PARAMETERS) else {}
    for wrong in (none, several):
        assert any(
            message.startswith("must have exactly one of")
            for message in find_errors({**base, path: wrong}).values()
        )
    extra = {"spec.objectives": [{"metric": "error", "direction": "Minimize"}]}
    needs_own_metric = path == "spec.task"
    parse_job(edit_manifest({**base, path: one, **(extra if needs_own_metric else {})}))


@pytest.mark.parametrize(("path", "none", "several", "one"), UNIONS.values(), ids=UNIONS)
def test_the_generated_rule_of_a_union_takes_exactly_one_member(
    path: str, none: object, several: object, one: object
) -> None:
    base: dict[str, object] = searching(CHOICES) if path.startswith(PARAMETERS) else {}
    options = Options(is_immutable=False, has_defaults=True)
    broken = []
    for member in (none, several, one):
        unions = [part for part in read_parts({**base, path: member}) if isinstance(part, OneOf)]
        rules = [build_schema(type(part), options)["x-kubernetes-validations"] for part in unions]
        valid = [
            is_valid_by_cel(rule[0]["rule"], part) for part, rule in zip(unions, rules, strict=True)
        ]
        broken.append(valid.count(False))
    assert broken == [1, 1, 0]


def test_every_rule_and_every_union_has_a_case() -> None:
    unions = {model for model in iter_models(OptimizationJob) if issubclass(model, OneOf)}
    assert {rule.message for rule in list_rules()} == {case.message for case in CASES.values()}
    assert len(unions) == len(UNIONS)


@pytest.mark.parametrize("kind", FailureClass)
@pytest.mark.parametrize("action", FailureAction)
def test_each_class_takes_the_same_actions_in_cel_and_in_python(
    kind: FailureClass, action: FailureAction
) -> None:
    rule = FailureRule(failure_class=kind, actions=(action,))
    (said,) = rule.rules
    assert said.cel is not None
    assert is_valid_by_cel(said.cel, rule) is said.check(rule)


@pytest.mark.parametrize("method", QuantizeMethod)
@pytest.mark.parametrize("weights", [None, *WeightDtype])
@pytest.mark.parametrize("activations", [None, *ActivationDtype])
def test_each_pair_of_types_is_judged_alike_in_cel_and_in_python(
    method: QuantizeMethod, weights: WeightDtype | None, activations: ActivationDtype | None
) -> None:
    quantize = Quantize(method=method, weights=weights, activations=activations)
    for rule in quantize.rules:
        assert rule.cel is not None
        assert is_valid_by_cel(rule.cel, quantize) is rule.check(quantize), rule.message


def test_every_method_takes_the_types_that_it_can_have() -> None:
    taken = {
        (method.value, weights.value, activations.value)
        for method in QuantizeMethod
        for weights in WeightDtype
        for activations in ActivationDtype
        if not list(check_rules(Quantize(method=method, weights=weights, activations=activations)))
    }
    assert taken == {
        ("Cast", "fp16", "fp16"),
        ("Cast", "fp16", "fp32"),
        ("Cast", "bf16", "bf16"),
        ("Cast", "bf16", "fp32"),
        ("WeightOnly", "int8", "fp32"),
        ("Dynamic", "int8", "uint8"),
        ("Static", "int8", "int8"),
        ("Static", "int8", "uint8"),
    }


def test_rules_name_fields_of_their_model() -> None:
    for model in iter_models(OptimizationJob):
        names = {rule.field for rule in model.rules} - {None}
        assert names <= set(model.model_fields)
