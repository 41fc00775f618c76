"""`trimtab validate`: are these manifests valid? Offline; prints every finding at once."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.manifests import read_manifest
from trimtab_cli.rendering.findings import describe_findings, print_findings
from trimtab_cli.rendering.structured import OutputFormat, render_structured

__all__ = ["validate"]


def validate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Manifests, YAML or JSON.")
    ],
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to print the findings.")
    ] = OutputFormat.TEXT,
) -> None:
    """Check manifests as the API server would; exit with 2 where anything is wrong."""
    manifests = [read_manifest(file) for file in files]
    findings = [finding for manifest in manifests for finding in manifest.findings]
    if output is OutputFormat.TEXT:
        print_findings(findings, to_stderr=False)
        for manifest in manifests:
            for job in manifest.jobs:
                typer.echo(f"{manifest.path}: {job.metadata.name} is valid")
    else:
        typer.echo(render_structured(describe_findings(findings), output), nl=False)
    if findings:
        raise typer.Exit(ExitCode.BAD_INPUT)
