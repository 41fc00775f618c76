"""References of a job that lead nowhere are found: parameter paths, metrics, directions."""

import pytest

from manifest_edits import edit_manifest
from trimtab_api.findings import InvalidJobError, render_path
from trimtab_api.validation import parse_job

OWN_TASK = {"spec.task": {"entrypoint": "waves:Task"}}


def search_over(name: str, **space: object) -> dict[str, object]:
    return {"spec.stages.search.parameters": [{"name": name, "searchSpace": space}]}


@pytest.mark.parametrize(
    ("edits", "path", "expectation"),
    [
        (
            {"spec.objectives": [{"metric": "f1", "direction": "Maximize"}]},
            "spec.objectives[0].metric",
            "must be accuracy, top5_accuracy, loss",
        ),
        (
            {"spec.objectives": [{"metric": "size_mib", "direction": "Minimize"}]},
            "spec.objectives[0].metric",
            "must be a metric of the validation split",
        ),
        (
            {"spec.objectives": [{"metric": "accuracy", "direction": "Minimize"}]},
            "spec.objectives[0].direction",
            "must be Maximize for accuracy",
        ),
        (
            {"spec.constraints.0": {"metric": "f1", "max": 1}},
            "spec.constraints[0].metric",
            "must be one of accuracy",
        ),
        (
            {**OWN_TASK, "spec.constraints.0": {"metric": "f1", "maxDrop": 0.1}},
            "spec.constraints[0].metric",
            "must also be an objective",
        ),
        (
            {"spec.constraints.0.target": "edge"},
            "spec.constraints[0].target",
            "must be absent: accuracy is the same on every target",
        ),
        (
            search_over("train.speed", categorical={"choices": [1]}),
            "spec.stages.search.parameters[0].name",
            "is not a field that a search can replace",
        ),
        (
            search_over("dataset.args.noise", categorical={"choices": [1]}),
            "spec.stages.search.parameters[0].name",
            "needs dataset.entrypoint",
        ),
        (
            search_over("train.learningRate", uniform={"min": 0.1, "max": 11}),
            "spec.stages.search.parameters[0].searchSpace.uniform.max",
            "must be valid for train.learningRate",
        ),
        (
            search_over("train.optimizer", categorical={"choices": ["SGD", "Sgd"]}),
            "spec.stages.search.parameters[0].searchSpace.categorical.choices[1]",
            "must be valid for train.optimizer",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(
    edits: dict[str, object], path: str, expectation: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(edit_manifest(edits))
    (finding,) = caught.value.findings
    assert render_path(finding.path) == path
    assert finding.expectation.startswith(expectation)


@pytest.mark.parametrize(
    "edits",
    [
        {**OWN_TASK, "spec.objectives": [{"metric": "f1", "direction": "Maximize"}]},
        {**OWN_TASK, "spec.constraints.0": {"metric": "f1", "max": 1}},
        search_over("model.args.width", uniform={"min": 8, "max": 32, "type": "Int"}),
        search_over("train.precision.dtype", categorical={"choices": ["fp32", "bf16"]}),
        search_over("train.steps", categorical={"choices": [5, 10]}),
    ],
)
def test_a_reference_that_leads_somewhere_passes(edits: dict[str, object]) -> None:
    parse_job(edit_manifest(edits))
