"""`trimtab doctor`: what a job lacks to run on a cluster, with the command that mends it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_cli.commands._cluster import ContextOption, NamespaceOption, connect, end_with_message
from trimtab_cli.doctor._base import Check, CheckState
from trimtab_cli.doctor.examination import examine
from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.manifests import read_manifest
from trimtab_cli.rendering.checks import describe_checks, print_checks
from trimtab_cli.rendering.findings import print_findings
from trimtab_cli.rendering.structured import OutputFormat, render_structured

__all__ = ["doctor"]


def doctor(
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Jobs whose needs are looked at too."),
    ] = None,
    namespace: NamespaceOption = None,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to print the findings.")
    ] = OutputFormat.TEXT,
    context: ContextOption = None,
) -> None:
    """Look for what a job needs on a cluster; exit with 5 where something is missing.

    Nothing is changed. Each line that is not `ok` has below it the command that mends it.
    """
    jobs = _read_jobs(file) if file else ()
    own = {job.metadata.namespace for job in jobs if job.metadata.namespace}
    with end_with_message():
        cluster = connect(context, namespace or (own.pop() if len(own) == 1 else None))
        seen: list[Check] = []
        checks = _remember(examine(cluster, jobs), seen)
        if output is OutputFormat.TEXT:
            print_checks(checks)
        else:
            typer.echo(render_structured(describe_checks(checks), output), nl=False)
    if any(check.state is CheckState.FAILED for check in seen):
        raise typer.Exit(ExitCode.ENVIRONMENT_MISSING)


def _read_jobs(file: Path) -> tuple[OptimizationJob, ...]:
    manifest = read_manifest(file)
    if manifest.findings:
        print_findings(manifest.findings, to_stderr=True)
        raise typer.Exit(ExitCode.BAD_INPUT)
    return manifest.jobs


def _remember(checks: Iterable[Check], seen: list[Check]) -> Iterator[Check]:
    for check in checks:
        seen.append(check)
        yield check
