"""`trimtab plan`: what a job would do, with every default filled in. Starts nothing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trimtab_api.defaults import DETECTED_PROFILE, count_work, expand_job
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_cli.children import plan_children
from trimtab_cli.commands._cluster import NamespaceOption
from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.manifests import read_manifest
from trimtab_cli.rendering.findings import print_findings
from trimtab_cli.rendering.plans import describe_plan, render_children, render_plan
from trimtab_cli.rendering.structured import OutputFormat, render_structured

__all__ = ["plan"]

_NAMESPACE = "default"


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest, YAML or JSON.")],
    *,
    children: Annotated[
        bool,
        typer.Option("--children", help="Print the objects that a cluster gets, not the job."),
    ] = False,
    namespace: NamespaceOption = None,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to print the plan.")
    ] = OutputFormat.TEXT,
) -> None:
    """Print the expanded job with the numbers of trials, epochs and candidates.

    With --children it prints what the operator makes of the job instead. Both ask no cluster: what
    only a cluster knows stands there in angle brackets.
    """
    manifest = read_manifest(file)
    if manifest.findings:
        print_findings(manifest.findings, to_stderr=True)
        raise typer.Exit(ExitCode.BAD_INPUT)
    if children:
        text = _render_children(manifest.jobs, namespace, output)
    else:
        text = _render_plans(manifest.jobs, output)
    typer.echo(text, nl=False)


def _render_children(
    jobs: Sequence[OptimizationJob], namespace: str | None, output: OutputFormat
) -> str:
    manifests = [
        child
        for job in jobs
        for child in plan_children(job, namespace=namespace or job.metadata.namespace or _NAMESPACE)
    ]
    if output is OutputFormat.JSON:
        return render_structured(manifests, output)
    return render_children(manifests)


def _render_plans(jobs: Sequence[OptimizationJob], output: OutputFormat) -> str:
    expanded = [
        expand_job(job, cores=len(os.sched_getaffinity(0)), detected=DETECTED_PROFILE)
        for job in jobs
    ]
    plans = [(job, count_work(job.spec)) for job in expanded]
    if output is OutputFormat.TEXT:
        return "---\n".join(render_plan(job, work) for job, work in plans)
    return render_structured([describe_plan(job, work) for job, work in plans], output)
