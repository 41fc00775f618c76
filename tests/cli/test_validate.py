"""`trimtab validate` prints every finding and exits with 2 where there is one."""

import json
from pathlib import Path

import pytest

from cluster_jobs import JOB_PATH
from command_line import RunCommand, WriteManifest
from small_api import Refusal, SmallApi, make_refusal
from trimtab_cli.server_rules import parse_field

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/job.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_valid(trimtab: RunCommand, path: Path) -> None:
    result = trimtab("validate", path)

    assert result.exit_code == 0, result.output
    assert "is valid" in result.output


def test_findings_of_all_files_are_printed(
    trimtab: RunCommand, write_manifest: WriteManifest, tmp_path: Path
) -> None:
    path = write_manifest(seed=-1)

    result = trimtab("validate", path, tmp_path / "missing.yaml")

    assert result.exit_code == 2
    assert f"{path}:1: spec.seed: must be at least 0 (got -1)\n" in result.stdout
    assert "missing.yaml: (document): does not exist\n" in result.stdout


def test_a_point_outside_the_space_is_found_at_its_line(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    stages = {"search": {"warmStart": {"points": [{"train.batchSize": 33}]}}, "train": {}}
    path = write_manifest(stages=stages)

    result = trimtab("validate", path)

    assert result.exit_code == 2
    where = "spec.stages.search.warmStart.points[0].train.batchSize"
    assert result.stdout == f"{path}:1: {where}: must be one of 32, 64, 128 (got 33)\n"


def test_programs_get_findings_as_json(trimtab: RunCommand, write_manifest: WriteManifest) -> None:
    path = write_manifest(seed=-1)

    result = trimtab("validate", "-o", "json", path)

    assert result.exit_code == 2
    assert json.loads(result.stdout) == [
        {
            "file": str(path),
            "line": 1,
            "path": "spec.seed",
            "expectation": "must be at least 0",
            "value": "-1",
        }
    ]


def test_a_valid_file_has_no_findings_in_yaml(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    result = trimtab("validate", "-o", "yaml", write_manifest())

    assert (result.exit_code, result.stdout.strip()) == (0, "[]")


TRIED = f"{JOB_PATH}?dryRun=All&fieldManager=trimtab-validate&force=true&fieldValidation=Strict"
MANIFEST = """\
apiVersion: trimtab.dev/v1alpha1
kind: OptimizationJob
metadata:
  name: digits
spec:
  seed: 3
  model: {builtin: small-cnn}
  dataset: {builtin: digits}
  targets:
  - name: edge
    profile: cpu-edge
  stages:
    train: {}
"""


def test_a_server_that_has_nothing_against_a_manifest_makes_it_valid(
    trimtab: RunCommand, write_manifest: WriteManifest, api: SmallApi
) -> None:
    path = write_manifest(MANIFEST)
    api.add(TRIED, {})

    result = trimtab("validate", "--server", path)

    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}: digits is valid, also for the API server\n"
    assert api.bodies[0]["metadata"] == {"name": "digits", "namespace": "vision"}
    assert api.bodies[0]["spec"]["seed"] == 3
    assert "objectives" not in api.bodies[0]["spec"]


def test_what_the_server_says_stands_at_its_line(
    trimtab: RunCommand, write_manifest: WriteManifest, api: SmallApi
) -> None:
    causes = [
        {"field": "spec.seed", "message": "Invalid value: cannot be changed"},
        {"field": "spec.targets[0].profile", "message": "Unsupported value"},
        {"field": "<nil>", "message": "some rules\ncould not be checked"},
    ]
    api.add(TRIED, make_refusal(422, "is invalid", name="digits", causes=causes))
    path = write_manifest(MANIFEST)

    result = trimtab("validate", "--server", path)

    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"{path}:6: spec.seed: Invalid value: cannot be changed",
        f"{path}:11: spec.targets[0].profile: Unsupported value",
        f"{path}:1: (document): some rules could not be checked",
    ]


def test_a_refusal_without_causes_is_a_finding_too(
    trimtab: RunCommand, write_manifest: WriteManifest, api: SmallApi
) -> None:
    api.add(TRIED, make_refusal(400, "strict decoding error: unknown field spec.x"))

    result = trimtab("validate", "--server", "-o", "json", write_manifest(MANIFEST))

    assert result.exit_code == 2
    (found,) = json.loads(result.stdout)
    assert (found["line"], found["path"]) == (1, "(document)")
    assert "unknown field spec.x" in found["expectation"]


def test_the_namespace_of_the_manifest_is_asked_unless_one_is_given(
    trimtab: RunCommand, write_manifest: WriteManifest, api: SmallApi
) -> None:
    path = write_manifest(
        MANIFEST.replace("  name: digits\n", "  name: digits\n  namespace: own\n")
    )

    trimtab("validate", "--server", path)
    trimtab("validate", "--server", "-n", "given", path)

    places = [entry.partition("?")[0].split("/")[5] for entry in api.asked]
    assert places == ["own", "given"]


def test_without_a_server_that_answers_nothing_is_called_valid(
    trimtab: RunCommand, write_manifest: WriteManifest, api: SmallApi
) -> None:
    api.add(TRIED, Refusal(503, "down"))

    result = trimtab("validate", "--server", write_manifest(MANIFEST))

    assert (result.exit_code, result.stdout) == (5, "")
    assert "answers 503: down" in result.stderr


def test_an_invalid_manifest_is_not_sent(
    trimtab: RunCommand, write_manifest: WriteManifest, api: SmallApi
) -> None:
    assert trimtab("validate", "--server", write_manifest(seed=-1)).exit_code == 2
    assert api.asked == []


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("spec.targets[0].name", ("spec", "targets", 0, "name")),
        ("spec.constraints[10]", ("spec", "constraints", 10)),
        ("metadata.labels[a.b/c]", ("metadata", "labels", "a.b/c")),
        ("<nil>", ()),
        ("", ()),
    ],
)
def test_a_servers_field_becomes_a_path(field: str, path: tuple[str | int, ...]) -> None:
    assert parse_field(field) == path
