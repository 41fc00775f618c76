"""A changed spec is told in fields: only those that cannot change, with both values."""

from typing import Any

import pytest

from job_runs import LEARNING_RATE, make_search_job
from trimtab_trainer.storage.spec_changes import describe_changes


def describe(before: dict[str, Any], after: dict[str, Any]) -> str:
    manifest = make_search_job(**before).spec.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return describe_changes(manifest, make_search_job(**after).spec)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({}, {}, ""),
        ({}, {"search": {"numTrials": 7}}, ""),
        ({}, {"seed": 5}, "spec.seed was 0 and is 5"),
        (
            {"train": {"learningRate": 0.1}},
            {"train": {"learningRate": 0.2}},
            "spec.stages.train.learningRate was 0.1 and is 0.2",
        ),
        (
            {"dataset": {"builtin": "digits"}},
            {"dataset": {"idx": "pvc://claim/data"}},
            (
                'spec.dataset.builtin was "digits" and is absent,'
                ' spec.dataset.idx was absent and is "pvc://claim/data"'
            ),
        ),
        (
            {},
            {
                "search": {
                    "parameters": [
                        {**LEARNING_RATE, "searchSpace": {"logUniform": {"min": 3e-3, "max": 0.1}}}
                    ]
                }
            },
            "spec.stages.search.parameters[0].searchSpace.logUniform.max was 0.03 and is 0.1",
        ),
    ],
)
def test_changes_name_field_and_values(
    before: dict[str, Any], after: dict[str, Any], text: str
) -> None:
    assert describe(before, after) == text


def test_at_most_three_changes_are_named() -> None:
    text = describe({}, {"seed": 1, "train": {"epochs": 9, "batchSize": 8, "learningRate": 0.5}})
    assert text.count(" was ") == 3
    assert text.endswith(" and 1 more")


def test_an_earlier_spec_of_another_version_is_not_compared() -> None:
    assert describe_changes({"network": {}}, make_search_job().spec) == ""
