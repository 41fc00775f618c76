"""The seam to the trainer: it hands the job on and turns the trainer's errors into exit codes."""

from pathlib import Path
from typing import Any

import pytest

from report_builder import make_manifest, make_report
from trimtab_api.reports import RunReport
from trimtab_api.validation import parse_job
from trimtab_cli import local
from trimtab_cli.exit_codes import ExitCode, RunRefusedError
from trimtab_trainer.errors import EnvironmentMissingError, StudyMismatchError, UserError
from trimtab_trainer.reporting._base import AbstractReporter

JOB = parse_job(make_manifest())


def run_with(monkeypatch: pytest.MonkeyPatch, outcome: RunReport | Exception) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def run_job(job: object, **arguments: object) -> RunReport:
        seen.update(job=job, **arguments)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(local, "run_job", run_job)
    seen["report"] = local.run_locally(
        JOB, folder=Path("runs"), code_dir=Path(), data_root=Path("data"), fresh=True
    )
    return seen


def test_the_job_reaches_the_pipeline_with_a_reporter(monkeypatch: pytest.MonkeyPatch) -> None:
    report = make_report()

    seen = run_with(monkeypatch, report)

    assert seen["job"] is JOB
    assert seen["report"] is report
    assert (seen["folder"], seen["fresh"]) == (Path("runs"), True)
    assert isinstance(seen["reporter"], AbstractReporter)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StudyMismatchError("fingerprints a and b"), ExitCode.BAD_INPUT),
        (UserError("another run works in runs"), ExitCode.BAD_INPUT),
        (EnvironmentMissingError("no Ray"), ExitCode.ENVIRONMENT_MISSING),
    ],
    ids=["mismatch", "locked", "environment"],
)
def test_an_error_before_the_run_becomes_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: ExitCode
) -> None:
    with pytest.raises(RunRefusedError, match=str(error)) as caught:
        run_with(monkeypatch, error)

    assert caught.value.exit_code is code
