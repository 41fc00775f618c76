"""A pod finds out for whom it works from what the operator set, and refuses to guess."""

import json
from pathlib import Path

import pytest

from job_runs import make_search_job
from trimtab_trainer.cluster_pod import read_job, read_settings
from trimtab_trainer.errors import EnvironmentMissingError, UserError

ENVIRONMENT = {
    "TRIMTAB_JOB": "digits",
    "TRIMTAB_NAMESPACE": "team",
    "TRIMTAB_JOB_UID": "uid-1",
    "TRIMTAB_ATTEMPT": "3",
    "TRIMTAB_STORAGE": "s3://runs/vision/",
}


def test_the_environment_says_who_where_and_which_attempt() -> None:
    settings = read_settings(ENVIRONMENT)
    assert (settings.job, settings.attempt) == ("digits", 3)
    assert settings.report == "digits-progress"
    assert settings.place.uri == "s3://runs/vision/team/digits/uid-1"
    assert settings.place.data_root == Path("/var/run/trimtab/claims")


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(name: str) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(EnvironmentMissingError, match=name):
        read_settings(environment)


def test_an_attempt_must_be_a_number() -> None:
    with pytest.raises(EnvironmentMissingError, match="x1"):
        read_settings({**ENVIRONMENT, "TRIMTAB_ATTEMPT": "x1"})


def test_the_mounted_manifest_is_the_job(tmp_path: Path) -> None:
    job = make_search_job()
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json(by_alias=True, exclude_none=True))
    assert read_job(path) == job


def test_a_manifest_that_this_version_does_not_know_is_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"kind": "OptimizationJob", "spec": {}}))
    with pytest.raises(UserError, match="the manifest is not valid"):
        read_job(path)


@pytest.mark.parametrize("content", [None, "{"])
def test_without_a_manifest_there_is_nothing_to_do(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "job.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EnvironmentMissingError, match="must hold the job"):
        read_job(path)
