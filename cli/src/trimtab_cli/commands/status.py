"""`trimtab status`: how a job of a cluster stands, once or until it ends."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from trimtab_api.verdict import Verdict
from trimtab_cli.access import AbstractCluster, job_path
from trimtab_cli.commands._cluster import (
    ContextOption,
    JobArgument,
    NamespaceOption,
    connect,
    end_with_message,
)
from trimtab_cli.exit_codes import ExitCode, exit_code_of_verdict
from trimtab_cli.following import follow_job
from trimtab_cli.jobs import read_job
from trimtab_cli.rendering.job_status import StatusDisplay, print_status
from trimtab_cli.rendering.structured import ObjectFormat, render_object

__all__ = ["status"]


def status(
    job: JobArgument,
    namespace: NamespaceOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show changes until the job ends.")
    ] = False,
    output: Annotated[
        ObjectFormat, typer.Option("--output", "-o", help="How to print the job.")
    ] = ObjectFormat.TEXT,
    context: ContextOption = None,
) -> None:
    """Show how a job stands.

    With --watch it ends as the job does: 0 goals met, 3 goals missed, 4 job failed.
    """
    with end_with_message():
        cluster = connect(context, namespace)
        if watch:
            raise typer.Exit(_follow(cluster, job, output))
        document = cluster.read(job_path(cluster.namespace, job))
        if output is ObjectFormat.TEXT:
            print_status(read_job(document), datetime.now(UTC))
        else:
            typer.echo(render_object(document, output), nl=False)


def _follow(cluster: AbstractCluster, name: str, output: ObjectFormat) -> ExitCode:
    display = StatusDisplay()
    try:
        for document in follow_job(cluster, name, pause=time.sleep):
            _show(document, output, display)
            verdict = read_job(document).verdict()
            if verdict is not Verdict.UNFINISHED:
                return exit_code_of_verdict(verdict)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    finally:
        display.close()
    return ExitCode.ENVIRONMENT_MISSING


def _show(document: dict[str, Any], output: ObjectFormat, display: StatusDisplay) -> None:
    if output is ObjectFormat.TEXT:
        display.show(read_job(document), datetime.now(UTC))
    else:
        typer.echo(render_object(document, output), nl=False)
