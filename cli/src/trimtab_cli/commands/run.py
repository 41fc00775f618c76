"""`trimtab run`: the whole job on this machine, or its rest where an earlier start was stopped.

The trainer is imported only here and only now, through `trimtab_cli.local`: the other commands
need neither torch nor the extra that brings it.
"""

import importlib
from pathlib import Path
from typing import Annotated, NoReturn, Protocol

import typer

from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_cli.exit_codes import ExitCode, RunRefusedError, exit_code_of
from trimtab_cli.manifests import read_manifest
from trimtab_cli.rendering.findings import print_findings
from trimtab_cli.rendering.tables import print_result
from trimtab_cli.termination import Terminated, terminable

__all__ = ["run"]

_DATA_ROOT = Path("trimtab-data")


class _RunLocally(Protocol):
    def __call__(
        self, job: OptimizationJob, *, folder: Path, code_dir: Path, data_root: Path, fresh: bool
    ) -> RunReport: ...


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest with one job.")],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run folder. Default: runs/<name of the job>."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an earlier run in the folder.")
    ] = False,
) -> None:
    """Search, train, prune, quantize, export and benchmark on this machine.

    Run again, an unfinished folder goes on where it stopped. Exit codes: 0 goals met, 2 bad input,
    3 goals missed, 4 job failed, 5 environment missing, 130 interrupted, 143 terminated.
    """
    job = _read_single_job(file)
    folder = output or Path("runs") / job.metadata.name
    typer.echo(f"{job.metadata.name}: running in {folder}")
    try:
        with terminable():
            report = _load_trainer()(
                job, folder=folder, code_dir=file.parent, data_root=_DATA_ROOT, fresh=fresh
            )
    except RunRefusedError as error:
        _stop(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        _stop(
            f"stopped; what is finished is kept in {folder}, the same command goes on from there",
            ExitCode.TERMINATED if isinstance(error, Terminated) else ExitCode.INTERRUPTED,
        )
    print_result(report, folder)
    raise typer.Exit(exit_code_of(report))


def _read_single_job(file: Path) -> OptimizationJob:
    manifest = read_manifest(file)
    if manifest.findings:
        print_findings(manifest.findings, to_stderr=True)
        raise typer.Exit(ExitCode.BAD_INPUT)
    if len(manifest.jobs) > 1:
        names = ", ".join(job.metadata.name for job in manifest.jobs)
        _stop(f"{file}: must hold one job to run (got {names})", ExitCode.BAD_INPUT)
    return manifest.jobs[0]


def _load_trainer() -> _RunLocally:
    try:
        run_locally: _RunLocally = importlib.import_module("trimtab_cli.local").run_locally
    except ImportError as error:
        raise RunRefusedError(
            f"`trimtab run` needs what `make setup` in a checkout installs ({error})",
            ExitCode.ENVIRONMENT_MISSING,
        ) from error
    return run_locally


def _stop(message: str, code: ExitCode) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
