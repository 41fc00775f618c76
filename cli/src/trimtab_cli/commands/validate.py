"""`trimtab validate`: are these manifests valid? Prints every finding at once.

Offline, or with `--server` also by the API server's own judgement, which knows the definition that
is installed there, the fields that may not change any more, and its admission policies.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from trimtab_cli.commands._cluster import ContextOption, NamespaceOption, connect, end_with_message
from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.manifests import LocatedFinding, ManifestFile, read_manifest
from trimtab_cli.rendering.findings import describe_findings, print_findings
from trimtab_cli.rendering.structured import OutputFormat, render_structured
from trimtab_cli.server_rules import try_manifest

__all__ = ["validate"]


def validate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Manifests, YAML or JSON.")
    ],
    *,
    server: Annotated[
        bool,
        typer.Option("--server", help="Also ask the API server, which stores nothing."),
    ] = False,
    namespace: NamespaceOption = None,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="How to print the findings.")
    ] = OutputFormat.TEXT,
    context: ContextOption = None,
) -> None:
    """Check manifests as the API server would; exit with 2 where anything is wrong."""
    manifests = [read_manifest(file) for file in files]
    findings = [finding for manifest in manifests for finding in manifest.findings]
    refused: list[LocatedFinding] = []
    if server:
        with end_with_message():
            refused = _ask_server(manifests, context, namespace)
    findings += refused
    if output is OutputFormat.TEXT:
        print_findings(findings, to_stderr=False)
        for manifest in manifests:
            for name in _list_valid(manifest, refused):
                judge = ", also for the API server" if server else ""
                typer.echo(f"{manifest.path}: {name} is valid{judge}")
    else:
        typer.echo(render_structured(describe_findings(findings), output), nl=False)
    if findings:
        raise typer.Exit(ExitCode.BAD_INPUT)


def _ask_server(
    manifests: Sequence[ManifestFile], context: str | None, namespace: str | None
) -> list[LocatedFinding]:
    cluster = connect(context, namespace)
    return [
        finding
        for manifest in manifests
        for finding in try_manifest(cluster, manifest, namespace=namespace)
    ]


def _list_valid(manifest: ManifestFile, refused: Sequence[LocatedFinding]) -> Iterator[str]:
    """Yield the names of a file's jobs; none where the server refuses one of them."""
    if str(manifest.path) not in {finding.file for finding in refused}:
        yield from (job.metadata.name for job in manifest.jobs)
