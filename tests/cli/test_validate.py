"""`trimtab validate` prints every finding and exits with 2 where there is one."""

import json
from pathlib import Path

import pytest

from command_line import RunCommand, WriteManifest

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
