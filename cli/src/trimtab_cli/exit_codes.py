"""The exit codes of `trimtab`, and the one that a run's report amounts to.

Commands raise them through typer; scripts and CI rely on the numbers.
"""

from enum import IntEnum
from typing import assert_never

from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_api.verdict import Verdict, find_verdict

__all__ = ["ExitCode", "RunRefusedError", "exit_code_of", "exit_code_of_verdict"]


class ExitCode(IntEnum):
    """How a command ended."""

    SUCCESS = 0
    """Done; for `run`: goals met."""
    BAD_INPUT = 2
    """The manifest, an option or the run folder cannot be used."""
    GOALS_MISSED = 3
    """The job is complete, a limit is missed, and the nearest candidate is the result."""
    JOB_FAILED = 4
    """The job ended without a result."""
    ENVIRONMENT_MISSING = 5
    """This machine, or the cluster, lacks what the command needs."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""
    TERMINATED = 143
    """Stopped by SIGTERM."""


class RunRefusedError(Exception):
    """A run could not begin; its text says why."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(report: RunReport) -> ExitCode:
    """Return how `trimtab run` ends with this report."""
    code = exit_code_of_verdict(find_verdict(report.status))
    reasons = {condition.reason for condition in report.status.conditions}
    mismatch = code is ExitCode.JOB_FAILED and FailedReason.STUDY_MISMATCH in reasons
    return ExitCode.BAD_INPUT if mismatch else code


def exit_code_of_verdict(verdict: Verdict) -> ExitCode:
    """Return how a command ends that waited for a job; an unfinished job has no result."""
    match verdict:
        case Verdict.GOALS_MET:
            return ExitCode.SUCCESS
        case Verdict.GOALS_MISSED:
            return ExitCode.GOALS_MISSED
        case Verdict.FAILED | Verdict.UNFINISHED:
            return ExitCode.JOB_FAILED
        case _:
            assert_never(verdict)
