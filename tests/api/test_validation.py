"""A manifest is parsed or refused with every finding: path, value, expectation."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifest_edits import REMOVED, edit_manifest
from report_builder import make_manifest
from trimtab_api.findings import Finding, InvalidJobError, render_path
from trimtab_api.rules import render_value
from trimtab_api.validation import parse_job

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def find_errors(document: object) -> list[str]:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(document)
    return [finding.describe() for finding in caught.value.findings]


def iter_paths(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from iter_paths(value, (*path, key))


def test_a_valid_manifest_becomes_a_job() -> None:
    job = parse_job(make_manifest())
    assert job.metadata.name == "digits"
    assert job.spec.stages.benchmark.repeats == 100


def test_what_a_newer_definition_knows_is_left_out_of_a_stored_job() -> None:
    later = {"spec.later": 1, "spec.stages.train.later": {"deep": 2}}
    stored = edit_manifest(later)
    assert parse_job(stored, is_stored=True) == parse_job(make_manifest())
    assert len(find_errors(stored)) == 2


def test_a_stored_job_that_asks_only_for_what_is_unknown_is_refused() -> None:
    stored = edit_manifest({"spec.stages.search.algorithm": {"later": {}}})
    with pytest.raises(InvalidJobError, match=r"spec\.stages\.search\.algorithm"):
        parse_job(stored, is_stored=True)


def test_foreign_metadata_is_let_through() -> None:
    edits = {"metadata": {"name": "a", "labels": {"team": "x"}, "namespace": "n", "generation": 2}}
    assert parse_job(edit_manifest(edits)).metadata.name == "a"


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({"spec.sead": 1}, "spec.sead: unknown field; did you mean seed? (got 1)"),
        ({"spec.stages.train.epoch": 1}, "did you mean epochs?"),
        ({"spec.stages.export.zzz": 1}, "unknown field; known here: formats, opset"),
        ({"spec.model": REMOVED}, "spec.model: is required"),
        ({"spec.seed": "7"}, 'spec.seed: must be an integer (got "7")'),
        ({"spec.seed": -1}, "spec.seed: must be at least 0 (got -1)"),
        ({"spec.stages.train.momentum": 1}, "spec.stages.train.momentum: must be below 1 (got 1)"),
        ({"spec.stages.train.optimizer": "Adam"}, "must be AdamW or SGD"),
        ({"kind": "Job"}, "kind: must be OptimizationJob"),
        ({"spec.dataset.builtin": "mnist"}, "spec.dataset.builtin: must match ^digits$"),
        (
            {"metadata.name": "Digits_1"},
            (
                "metadata.name: must be lower-case letters, digits and '-', at most 40, beginning with"
                " a letter and not ending with '-' (got \"Digits_1\")"
            ),
        ),
        ({"spec.targets.0.name": "Edge"}, "must be lower-case letters, digits and '-', beginning"),
        (
            {"spec.dataset": {"imageFolder": "gs://bucket"}},
            "must begin with s3://, pvc:// or file://, and hold none of @, ? and # (got",
        ),
        ({"spec.objectives": []}, "spec.objectives: must have at least 1 entries (got [])"),
        ({"spec.model.args": {"width": [1]}}, "spec.model.args.width: "),
        ({"spec.constraints.0.maxDrop": float("inf")}, "must be a finite number"),
        ({"spec.stages.prune": []}, "spec.stages.prune: must be a mapping (got [])"),
        ({"spec.model.args": 3}, "spec.model.args: must be a mapping (got 3)"),
        ({"spec.targets": 3}, "spec.targets: must be a list (got 3)"),
    ],
)
def test_a_message_says_path_expectation_and_value(edits: dict[str, object], expected: str) -> None:
    (found,) = find_errors(edit_manifest(edits))
    assert expected in found


def test_all_findings_of_a_pass_are_told_at_once() -> None:
    found = find_errors(edit_manifest({"spec.seed": -1, "spec.model": REMOVED, "kind": "Job"}))
    assert len(found) == 3


@pytest.mark.parametrize("document", [None, 3, "text", [1]])
def test_a_document_that_is_no_mapping_is_one_finding(document: object) -> None:
    (found,) = find_errors(document)
    assert found.startswith("(document): must be a mapping")


def test_a_document_with_other_than_json_data_is_one_finding() -> None:
    (found,) = find_errors(edit_manifest({"spec.seed": {1, 2}}))
    assert "must be plain JSON data" in found


def test_a_path_is_written_as_people_write_it() -> None:
    assert render_path(("spec", "constraints", 0, "max")) == "spec.constraints[0].max"
    assert Finding(("a",), "", "is required").describe() == "a: is required"


def test_a_long_value_is_cut() -> None:
    assert len(render_value("x" * 500)) == 80
    assert render_value(None) == ""


LISTS = {
    "spec.stages.train.precision": {"fallback": ["bf16"]},
    "spec.failurePolicy": {"rules": [{"class": "OOM", "actions": ["FailJob"]}]},
    "spec.stages.search.warmStart": {"points": [{"train.batchSize": 32}]},
}
"""So that there are entries to edit."""

F29 = {
    "unknown-field": {"spec.frobnicate": 1},
    "wrong-type": {"spec.stages.train.epochs": "many"},
    "bool-for-number": {"spec.stages.train.epochs": True},
    "negative": {"spec.stages.train.epochs": -1},
    "zero": {"spec.stages.train.epochs": 0},
    "huge-int": {"spec.stages.train.epochs": 10**30},
    "huge-float": {"spec.stages.train.learningRate": 1e308},
    "nan": {"spec.stages.train.learningRate": float("nan")},
    "inf": {"spec.constraints.0.maxDrop": float("inf")},
    "empty-list": {"spec.targets": []},
    "name-41": {"metadata.name": "a" * 41},
    "name-64": {"metadata.name": "a" * 64},
    "name-unicode": {"metadata.name": "größe"},
    "name-newline": {"metadata.name": "a\n"},
    "name-empty": {"metadata.name": ""},
    "no-workers": {"spec.stages.train.numWorkers": 0},
    "no-such-type": {"spec.stages.train.precision.dtype": "fp64"},
    "fallback-below-16-bits": {"spec.stages.train.precision.fallback.0": "fp8"},
    "scale-zero": {"spec.stages.train.precision.lossScale.value": 0},
    "keep-no-checkpoint": {"spec.stages.train.checkpoint.keep": 0},
    "bad-samples-negative": {"spec.dataset.maxBadSamples": -1},
    "device-word": {"spec.cluster.device": "gpu"},
    "failure-class-word": {"spec.failurePolicy.rules.0.class": "Oom"},
    "no-actions": {"spec.failurePolicy.rules.0.actions": []},
    "reduction-of-one": {"spec.stages.search.earlyStopping.asha.reductionFactor": 1},
    "job-name-upper": {"spec.stages.search.warmStart.fromJob": "Yesterday"},
    "point-no-path": {"spec.stages.search.warmStart.points.0": {"rate": 1}},
    "megabyte": {"spec.model.builtin": "x" * 1_000_000},
    "many-entries": {"spec.model.args": {f"a{n}": n for n in range(20_000)}},
}


@pytest.mark.parametrize("edits", F29.values(), ids=F29)
def test_f29_bad_input_is_refused_with_a_readable_message(edits: dict[str, object]) -> None:
    found = find_errors(edit_manifest({**copy.deepcopy(LISTS), **edits}))
    (path,) = edits
    assert any(line.startswith(path.replace(".0", "[0]")) for line in found)
    assert all(len(line) < 400 for line in found)


def test_f29_the_longest_name_is_accepted() -> None:
    assert parse_job(edit_manifest({"metadata.name": "a" * 40})).metadata.name == "a" * 40


@settings(max_examples=80, deadline=None)
@given(JSON)
def test_f29_no_document_ends_in_a_traceback(document: object) -> None:
    find_errors(document)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=JSON)
def test_f29_no_edit_of_a_valid_manifest_ends_in_a_traceback(
    data: st.DataObject, value: object
) -> None:
    manifest: Any = json.loads(json.dumps(make_manifest()))
    *parents, last = data.draw(st.sampled_from(list(iter_paths(manifest))))
    here = manifest
    for part in parents:
        here = here[part]
    here[last] = value
    try:
        parse_job(manifest)
    except InvalidJobError as error:
        assert error.findings


@pytest.mark.parametrize("path", ["stages.prune", "stages.search.algorithm", "model.args.width"])
def test_f29_an_empty_value_is_refused_rather_than_read_as_absent(path: str) -> None:
    """`prune:` without a value must not mean that nothing is pruned."""
    where = f"spec.{path}"
    assert find_errors(edit_manifest({where: None})) == [
        f"{where}: must not be empty: write {{}} for the defaults, or leave the field out (got null)"
    ]


def test_f29_a_bound_past_the_integers_of_the_api_server_is_refused() -> None:
    space = {"uniform": {"min": 0, "max": 1e30, "type": "Int"}}
    where = "spec.stages.search.parameters"
    (error,) = find_errors(
        edit_manifest({where: [{"name": "model.args.width", "searchSpace": space}]})
    )
    assert error.startswith(f"{where}[0].searchSpace.uniform.max: must be at most ")
