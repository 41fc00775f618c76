"""Two manifests have one fingerprint exactly if they may share a study."""

import pytest

from manifest_edits import edit_manifest
from trimtab_api.fingerprint import fingerprint_job
from trimtab_api.validation import parse_job


def fingerprint(**edits: object) -> str:
    paths = {path.replace("__", "."): value for path, value in edits.items()}
    return fingerprint_job(parse_job(edit_manifest(paths)))


@pytest.mark.parametrize(
    "edits",
    [
        {"spec__stages__search__numTrials": 30},
        {"spec__stages__search__parallelTrials": 1},
        {"spec__stages__search__maxFailedTrials": 5},
        {"spec__stages__search__trialTimeoutSeconds": 60},
        {"spec__stages__search__warmStart": {"fromJob": "yesterday"}},
        {"spec__cluster": {"device": "cpu"}},
        {"spec__failurePolicy__rules": [{"class": "OOM", "actions": ["FailJob"]}]},
        {"metadata__name": "other"},
        {"spec__stages__export": {"opset": 18}},
        {"spec__suspend": True},
        {"spec__backoffLimit": 0},
        {"spec__activeDeadlineSeconds": 60},
        {"spec__preRunningDeadlineSeconds": 60},
        {"spec__ttlSecondsAfterFinished": 60},
        {"spec__cluster": {"image": "trainer:1", "workers": {"replicas": 3}}},
    ],
)
def test_what_may_change_is_not_in_it(edits: dict[str, object]) -> None:
    assert fingerprint(**edits) == fingerprint()


@pytest.mark.parametrize(
    "edits",
    [
        {"spec__seed": 8},
        {"spec__stages__train__epochs": 13},
        {"spec__constraints__0__maxDrop": 0.02},
        {"spec__stages__search__earlyStopping": {"asha": {}}},
        {"spec__stages__train__numWorkers": 2},
        {"spec__stages__train__precision__dtype": "bf16"},
        {"spec__dataset__cache": "Node"},
        {"spec__stages__prune__schedule__steps": 2},
    ],
)
def test_what_may_not_change_is_in_it(edits: dict[str, object]) -> None:
    assert fingerprint(**edits) != fingerprint()


@pytest.mark.parametrize(
    "edits",
    [
        {"spec__managedBy": "kueue.x-k8s.io/multikueue"},
        {"spec__storage": {"uri": "s3://runs", "secretRef": {"name": "s3"}}},
        {"spec__targets__0__nodeSelector": {"gpu": "h100"}},
    ],
)
def test_where_a_job_runs_and_stores_is_not_in_it(edits: dict[str, object]) -> None:
    assert fingerprint(**edits) == fingerprint()


def test_the_secret_that_opens_data_is_not_in_it() -> None:
    data = {"imageFolder": "s3://data"}
    opened = {**data, "secretRef": {"name": "s3"}}
    assert fingerprint(spec__dataset=opened) == fingerprint(spec__dataset=data)


def test_it_is_a_sha256() -> None:
    assert len(bytes.fromhex(fingerprint())) == 32
