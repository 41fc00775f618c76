"""`trimtab fetch`: the artifacts and reports of a job, copied out of its storage."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab_cli.commands._cluster import (
    ContextOption,
    JobArgument,
    NamespaceOption,
    connect,
    end_with_message,
)
from trimtab_cli.commands._results import fetch_results, print_outcome
from trimtab_cli.rendering.structured import OutputFormat
from trimtab_cli.results import ARTIFACTS, REPORTS

__all__ = ["fetch"]


def fetch(
    job: JobArgument,
    *,
    namespace: NamespaceOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where to. Default: results/<job>."),
    ] = None,
    output: Annotated[
        OutputFormat, typer.Option("--format", "-o", help="How to print what was copied.")
    ] = OutputFormat.TEXT,
    context: ContextOption = None,
) -> None:
    """Copy reports and artifacts of a job to a folder.

    From S3 directly, with your own AWS_* variables or ~/.aws, and hashes are checked. A claim is
    reached only from inside the cluster: for it the commands are printed that copy through a pod.
    """
    with end_with_message():
        target = folder or Path("results") / job
        cluster = connect(context, namespace)
        outcome = fetch_results(cluster, job, target, (*REPORTS, ARTIFACTS))
        print_outcome(outcome, output)
