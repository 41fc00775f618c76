"""SEAM to the trainer: runs a job on this machine with a local Ray.

Imported by `trimtab run` alone and only when it starts, since it brings torch. Turns the trainer's
errors into the command line's.
"""

from pathlib import Path

from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_cli.exit_codes import ExitCode, RunRefusedError
from trimtab_cli.rendering.progress import open_reporter
from trimtab_trainer.errors import EnvironmentMissingError, TrainerError
from trimtab_trainer.pipeline import run_job

__all__ = ["run_locally"]


def run_locally(
    job: OptimizationJob, *, folder: Path, code_dir: Path, data_root: Path, fresh: bool
) -> RunReport:
    """Run a job and show its progress on the terminal.

    Args:
        job: A valid job.
        folder: The run folder.
        code_dir: Where user code is imported from.
        data_root: Where claims lie locally.
        fresh: Forget an earlier run in the folder.

    Raises:
        RunRefusedError: The run could not begin.
        KeyboardInterrupt: Passed on; what is finished is stored.
    """
    try:
        with open_reporter(job.spec.objectives[0].metric) as reporter:
            return run_job(
                job,
                folder=folder,
                code_dir=code_dir,
                data_root=data_root,
                fresh=fresh,
                reporter=reporter,
            )
    except EnvironmentMissingError as error:
        raise RunRefusedError(str(error), ExitCode.ENVIRONMENT_MISSING) from error
    except TrainerError as error:
        raise RunRefusedError(str(error), ExitCode.BAD_INPUT) from error
