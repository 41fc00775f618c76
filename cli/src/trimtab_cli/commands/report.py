"""`trimtab report`: report.html and report.json of a job, and the first one opened."""

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
from trimtab_cli.results import REPORTS

__all__ = ["report"]


def report(
    job: JobArgument,
    *,
    namespace: NamespaceOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where to. Default: results/<job>."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open report.html in the browser.")] = False,
    output: Annotated[
        OutputFormat, typer.Option("--format", "-o", help="How to print what was copied.")
    ] = OutputFormat.TEXT,
    context: ContextOption = None,
) -> None:
    """Copy the reports of a job to a folder: report.html for people, report.json for programs."""
    with end_with_message():
        target = folder or Path("results") / job
        outcome = fetch_results(connect(context, namespace), job, target, REPORTS)
        print_outcome(outcome, output)
        if show and outcome.commands:
            typer.echo(
                "--open has no effect where results lie on a claim:"
                f" run the commands, then open {target / 'report.html'}",
                err=True,
            )
        page = next((file.path for file in outcome.files if file.path.suffix == ".html"), None)
        if show and page is not None:
            typer.launch(page.resolve().as_uri())
