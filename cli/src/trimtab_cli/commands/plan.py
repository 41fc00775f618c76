"""`trimtab plan`: what a run would do here, with every default filled in. Starts nothing."""

import os
from pathlib import Path
from typing import Annotated

import typer

from trimtab_api.defaults import DETECTED_PROFILE, count_work, expand_job
from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.manifests import read_manifest
from trimtab_cli.rendering.findings import print_findings
from trimtab_cli.rendering.plans import describe_plan, render_plan
from trimtab_cli.rendering.structured import OutputFormat, render_structured

__all__ = ["plan"]


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest, YAML or JSON.")],
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to print the plan.")
    ] = OutputFormat.TEXT,
) -> None:
    """Print the expanded job with the numbers of trials, epochs and candidates."""
    manifest = read_manifest(file)
    if manifest.findings:
        print_findings(manifest.findings, to_stderr=True)
        raise typer.Exit(ExitCode.BAD_INPUT)
    jobs = [
        expand_job(job, cores=len(os.sched_getaffinity(0)), detected=DETECTED_PROFILE)
        for job in manifest.jobs
    ]
    plans = [(job, count_work(job.spec)) for job in jobs]
    if output is OutputFormat.TEXT:
        typer.echo("---\n".join(render_plan(job, work) for job, work in plans), nl=False)
    else:
        described = [describe_plan(job, work) for job, work in plans]
        typer.echo(render_structured(described, output), nl=False)
