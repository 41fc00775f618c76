"""Each rule of the contract refuses what breaks it, at the field to blame, and passes its neighbour."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import cel
import pytest

from manifest_edits import REMOVED, edit_manifest
from trimtab_api.findings import InvalidJobError, render_path
from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.runtime import FailureAction, FailureRule
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_api.validation import parse_job
from trimtab_codegen.structural import Options, build_schema

SEARCH = "spec.stages.search"
PARAMETERS = f"{SEARCH}.parameters"
SPACE = f"{PARAMETERS}[0].searchSpace"


def parameter(space: object, name: str = "train.learningRate") -> dict[str, object]:
    return {"name": name, "searchSpace": space}


def searching(space: object) -> dict[str, object]:
    return {PARAMETERS: [parameter(space)]}


CHOICES = {"categorical": {"choices": [0.1, 0.2]}}
OWN_DATA = {"entrypoint": "waves:make_data"}
FOLDER = {"imageFolder": "file:///cats"}
PRECISION = "spec.stages.train.precision"
RULES = "spec.failurePolicy.rules"
TWO_OBJECTIVES = [
    {"metric": "accuracy", "direction": "Maximize"},
    {"metric": "loss", "direction": "Minimize"},
]


def failure_rule(kind: str, *actions: str) -> dict[str, object]:
    return {"class": kind, "actions": list(actions)}


@dataclass(frozen=True, slots=True)
class Case:
    broken: dict[str, object]
    kept: dict[str, object]
    path: str
    message: str


CASES = {
    "search-needs-train": Case(
        {"spec.stages.train": REMOVED, "spec.stages.prune": REMOVED},
        {},
        SEARCH,
        "needs stages.train: it is the recipe of each trial",
    ),
    "prune-needs-train": Case(
        {
            "spec.model.weights": {"uri": "file:///w"},
            "spec.stages": {"prune": {"finetune": {"epochs": 1}}},
        },
        {
            "spec.model.weights": {"uri": "file:///w"},
            "spec.stages": {"prune": {"finetune": {"epochs": 0}}},
        },
        "spec.stages.prune",
        "needs stages.train as the recipe of fine-tuning, or finetune.epochs: 0",
    ),
    "objectives-once": Case(
        {"spec.objectives": [{"metric": "accuracy", "direction": "Maximize"}] * 2},
        {"spec.objectives": TWO_OBJECTIVES},
        "spec.objectives",
        "must name each metric once",
    ),
    "targets-unique": Case(
        {"spec.targets": [{"name": "edge"}, {"name": "edge"}]},
        {"spec.targets": [{"name": "edge"}, {"name": "server"}]},
        "spec.targets",
        "must have unique names",
    ),
    "constraint-target-known": Case(
        {"spec.constraints.1.target": "phone"},
        {"spec.constraints.1.target": "edge"},
        "spec.constraints",
        "must name a target of spec.targets, or none",
    ),
    "random-network": Case(
        {"spec.stages": {"quantize": {}}},
        {"spec.stages": {"quantize": {}}, "spec.model.weights": {"uri": "file:///w"}},
        "spec.model",
        "needs stages.train or model.weights: a built-in network is random otherwise",
    ),
    "dataset-args": Case(
        {"spec.dataset.args": {"samples": 1}},
        {"spec.dataset": {**OWN_DATA, "args": {"samples": 1}}},
        "spec.dataset.args",
        "belong to an entrypoint; set dataset.entrypoint or remove them",
    ),
    "dataset-images": Case(
        {"spec.dataset": {**OWN_DATA, "imageSize": 28}},
        {"spec.dataset": {"builtin": "digits", "imageSize": 28}},
        "spec.dataset",
        "imageSize and normalize apply to images; tensors of an entrypoint are taken as they are",
    ),
    "normalize-lengths": Case(
        {"spec.dataset.normalize": {"mean": [0.1, 0.2], "std": [0.3]}},
        {"spec.dataset.normalize": {"mean": [0.1], "std": [0.3]}},
        "spec.dataset.normalize.std",
        "must have as many entries as mean",
    ),
    "split-leaves-train": Case(
        {"spec.dataset.split": {"validation": 0.5, "test": 0.5}},
        {"spec.dataset.split": {"validation": 0.5, "test": 0.4}},
        "spec.dataset.split",
        "must leave a part for training: validation + test must be below 1",
    ),
    "range-ordered": Case(
        searching({"uniform": {"min": 2, "max": 1}}),
        searching({"uniform": {"min": 1, "max": 1}}),
        f"{SPACE}.uniform.max",
        "must be at least min",
    ),
    "log-range-ordered": Case(
        searching({"logUniform": {"min": 0.2, "max": 0.1}}),
        searching({"logUniform": {"min": 0.1, "max": 0.2}}),
        f"{SPACE}.logUniform.max",
        "must be at least min",
    ),
    "int-range-whole": Case(
        searching({"uniform": {"min": 0.5, "max": 2, "type": "Int"}}),
        {PARAMETERS: [parameter({"uniform": {"min": 1, "max": 2, "type": "Int"}}, "train.epochs")]},
        f"{SPACE}.uniform",
        "must have whole numbers as min and max when type is Int",
    ),
    "log-int-range-whole": Case(
        searching({"logUniform": {"min": 1.5, "max": 2, "type": "Int"}}),
        searching({"logUniform": {"min": 1, "max": 2, "type": "Int"}}),
        f"{SPACE}.logUniform",
        "must have whole numbers as min and max when type is Int",
    ),
    "int-step-whole": Case(
        searching({"uniform": {"min": 1, "max": 2, "step": 0.5, "type": "Int"}}),
        searching({"uniform": {"min": 0.1, "max": 2, "step": 0.5}}),
        f"{SPACE}.uniform.step",
        "must be a whole number when type is Int",
    ),
    "parallel-within-trials": Case(
        {f"{SEARCH}.parallelTrials": 17},
        {f"{SEARCH}.parallelTrials": 16},
        f"{SEARCH}.parallelTrials",
        "must not exceed numTrials",
    ),
    "grid-finite": Case(
        {f"{SEARCH}.algorithm": {"grid": {}}, **searching({"uniform": {"min": 0.1, "max": 1}})},
        {
            f"{SEARCH}.algorithm": {"grid": {}},
            **searching({"uniform": {"min": 0.1, "max": 1, "step": 0.1}}),
        },
        PARAMETERS,
        "must all be finite for grid: categorical, uniform with step, or uniform of type Int",
    ),
    "grid-given": Case(
        {f"{SEARCH}.algorithm": {"grid": {}}},
        {f"{SEARCH}.algorithm": {"grid": {}}, **searching(CHOICES)},
        PARAMETERS,
        "must be given for grid: the computed ones are ranges without steps",
    ),
    "parameters-once": Case(
        {PARAMETERS: [parameter(CHOICES), parameter(CHOICES)]},
        {PARAMETERS: [parameter(CHOICES), parameter(CHOICES, "train.weightDecay")]},
        PARAMETERS,
        "must name each field once",
    ),
    "steps-or-epochs": Case(
        {"spec.stages.train": {"epochs": 1, "steps": 1}},
        {"spec.stages.train": {"steps": 1}},
        "spec.stages.train.steps",
        "must not be set together with epochs",
    ),
    "batch-has-parts": Case(
        {"spec.stages.train": {"batchSize": 32, "accumulateSteps": 11, "numWorkers": 3}},
        {"spec.stages.train": {"batchSize": 32, "accumulateSteps": 16, "numWorkers": 2}},
        "spec.stages.train.batchSize",
        "must be at least accumulateSteps × numWorkers, so that no part is empty",
    ),
    "static-scale-has-value": Case(
        {f"{PRECISION}.lossScale": {"mode": "Static"}},
        {f"{PRECISION}.lossScale": {"mode": "Static", "value": 1024}},
        f"{PRECISION}.lossScale.value",
        "must be set when mode is Static",
    ),
    "no-scale-has-no-value": Case(
        {f"{PRECISION}.lossScale": {"mode": "Off", "value": 1024}},
        {f"{PRECISION}.lossScale": {"mode": "Dynamic", "value": 1024}},
        f"{PRECISION}.lossScale.value",
        "must not be set when mode is Off",
    ),
    "fallback-once": Case(
        {f"{PRECISION}.fallback": ["bf16", "bf16"]},
        {f"{PRECISION}.fallback": ["bf16", "fp32"]},
        f"{PRECISION}.fallback",
        "must name each type once",
    ),
    "bad-samples-of-a-folder": Case(
        {"spec.dataset": {"builtin": "digits", "maxBadSamples": 1}},
        {"spec.dataset": {**FOLDER, "maxBadSamples": 1}},
        "spec.dataset.maxBadSamples",
        "applies to images of a folder; set dataset.imageFolder or remove it",
    ),
    "cache-of-own-data": Case(
        {"spec.dataset": {**OWN_DATA, "cache": "Node"}},
        {"spec.dataset": {**FOLDER, "cache": "Node"}},
        "spec.dataset.cache",
        "must be None for an entrypoint, whose samples may be augmented at random",
    ),
    "actions-fit-the-class": Case(
        {RULES: [failure_rule("Diverged", "Retry", "ShrinkBatch")]},
        {RULES: [failure_rule("Diverged", "FallbackPrecision", "MarkInfeasible")]},
        f"{RULES}[0].actions",
        "must fit the class: ShrinkBatch is for OOM, FallbackPrecision for Diverged, Preempted is"
        " always retried, UserError always fails the job",
    ),
    "failure-class-once": Case(
        {RULES: [failure_rule("OOM", "FailJob"), failure_rule("OOM", "Retry")]},
        {RULES: [failure_rule("OOM", "FailJob"), failure_rule("Timeout", "Retry")]},
        RULES,
        "must name each class once",
    ),
    "stopping-metric-named": Case(
        {"spec.objectives": TWO_OBJECTIVES, f"{SEARCH}.earlyStopping": {"asha": {}}},
        {
            "spec.objectives": TWO_OBJECTIVES,
            f"{SEARCH}.earlyStopping": {"metric": "loss", "asha": {}},
        },
        "spec.stages",
        "needs search.earlyStopping.metric: with several objectives it must be said which metric"
        " stops a trial",
    ),
    "round-to-power": Case(
        {"spec.stages.prune.roundTo": 12},
        {"spec.stages.prune.roundTo": 16},
        "spec.stages.prune.roundTo",
        "must be a power of two from 1 to 64",
    ),
}

UNIONS = {
    "model": ("spec.model", {}, {"builtin": "mlp", "entrypoint": "a:b"}, {"builtin": "mlp"}),
    "dataset": ("spec.dataset", {}, {"builtin": "digits", "idx": "pvc://c"}, {"idx": "pvc://c"}),
    "task": (
        "spec.task",
        {},
        {"builtin": "classification", "entrypoint": "a:b"},
        {"entrypoint": "a:b"},
    ),
    "constraint": (
        "spec.constraints.0",
        {"metric": "accuracy"},
        {"metric": "accuracy", "min": 0, "max": 1},
        {"metric": "accuracy", "min": 0},
    ),
    "search-space": (
        f"{PARAMETERS}.0.searchSpace",
        {},
        {**CHOICES, "uniform": {"min": 0.1, "max": 1}},
        CHOICES,
    ),
    "algorithm": (f"{SEARCH}.algorithm", {}, {"random": {}, "bayesian": {}}, {"random": {}}),
    "early-stopping": (
        f"{SEARCH}.earlyStopping",
        {"metric": "loss"},
        {"asha": {}, "median": {}},
        {"hyperband": {}},
    ),
    "amount": (
        "spec.stages.prune.amount",
        {},
        {"ratio": 0.5, "flopsReduction": 0.5},
        {"ratio": 0.5},
    ),
}


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


def test_rules_name_fields_of_their_model() -> None:
    for model in iter_models(OptimizationJob):
        names = {rule.field for rule in model.rules} - {None}
        assert names <= set(model.model_fields)
