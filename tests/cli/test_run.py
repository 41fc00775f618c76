"""`trimtab run` hands the job to the trainer, prints the result and exits as the contract says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from command_line import RunCommand, WriteManifest
from report_builder import (
    make_failed_report,
    make_manifest,
    make_missed_report,
    make_partial_report,
    make_parts,
    make_report,
)
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_cli.exit_codes import ExitCode, RunRefusedError, exit_code_of
from trimtab_cli.termination import Terminated

Outcome = RunReport | BaseException
Calls = list[dict[str, Any]]
SetOutcome = Callable[[Outcome], Calls]


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> SetOutcome:
    """Put a trainer in place that ends as told, and note how it was called."""

    def set_outcome(outcome: Outcome) -> Calls:
        calls: Calls = []

        def run_locally(job: object, **arguments: object) -> RunReport:
            calls.append({"job": job, **arguments})
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        local = ModuleType("trimtab_cli.local")
        vars(local)["run_locally"] = run_locally
        monkeypatch.setitem(sys.modules, "trimtab_cli.local", local)
        return calls

    return set_outcome


def make_mismatch_report() -> RunReport:
    parts = make_parts()
    parts.failure = (FailedReason.STUDY_MISMATCH, "fingerprints a and b differ")
    parts.finished = False
    return parts.build()


@pytest.mark.parametrize(
    ("report", "code", "text"),
    [
        (make_report(), 0, "digits: goals met"),
        (make_missed_report(), 3, "speedup@edge min 4 missed by pruned-int8: 1.929"),
        (make_failed_report(), 4, "UserError: the first 3 trials failed alike"),
        (make_partial_report(), 4, "digits: unfinished"),
        (make_mismatch_report(), 2, "StudyMismatch: fingerprints a and b differ"),
    ],
    ids=["met", "missed", "failed", "unfinished", "mismatch"],
)
def test_the_exit_code_tells_how_the_job_ended(
    trimtab: RunCommand,
    write_manifest: WriteManifest,
    trainer: SetOutcome,
    *,
    report: RunReport,
    code: int,
    text: str,
) -> None:
    trainer(report)

    result = trimtab("run", write_manifest())

    assert result.exit_code == code == exit_code_of(report)
    assert text in result.stdout
    assert "runs/digits/report.html" in result.stdout


def test_the_run_folder_is_named_after_the_job(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    calls = trainer(make_report())
    path = write_manifest()

    trimtab("run", path)

    (call,) = calls
    assert call["folder"] == Path("runs/digits")
    assert call["code_dir"] == path.parent
    assert call["data_root"] == Path("trimtab-data")
    assert call["fresh"] is False


def test_output_and_fresh_are_handed_on(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    calls = trainer(make_report())

    trimtab("run", write_manifest(), "--output", "elsewhere", "--fresh")

    assert (calls[0]["folder"], calls[0]["fresh"]) == (Path("elsewhere"), True)


def test_f57_ctrl_c_exits_with_130_and_says_how_to_go_on(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    trainer(KeyboardInterrupt())

    result = trimtab("run", write_manifest())

    assert result.exit_code == 130
    assert "what is finished is kept in runs/digits, the same command goes on" in result.stderr


def test_f57_sigterm_exits_with_143_and_says_how_to_go_on(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    trainer(Terminated())

    result = trimtab("run", write_manifest())

    assert result.exit_code == 143
    assert "what is finished is kept in runs/digits, the same command goes on" in result.stderr


def test_f57_a_refused_run_exits_with_the_reason(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    trainer(RunRefusedError("fingerprints a and b differ", ExitCode.BAD_INPUT))

    result = trimtab("run", write_manifest())

    assert (result.exit_code, result.stderr) == (2, "fingerprints a and b differ\n")


def test_without_the_extra_local_the_exit_code_is_5(
    trimtab: RunCommand, write_manifest: WriteManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trimtab_cli.local", None)

    result = trimtab("run", write_manifest())

    assert result.exit_code == 5
    assert "`make setup` in a checkout" in result.stderr


def test_an_invalid_manifest_starts_nothing(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    calls = trainer(make_report())

    result = trimtab("run", write_manifest(seed=-1))

    assert (result.exit_code, calls) == (2, [])
    assert "spec.seed" in result.stderr


def test_a_file_with_two_jobs_starts_nothing(
    trimtab: RunCommand, write_manifest: WriteManifest, trainer: SetOutcome
) -> None:
    calls = trainer(make_report())
    text = "\n---\n".join(json.dumps(make_manifest(seed=seed)) for seed in (1, 2))

    result = trimtab("run", write_manifest(text))

    assert (result.exit_code, calls) == (2, [])
    assert "must hold one job to run (got digits, digits)" in result.stderr
