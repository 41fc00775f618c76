"""What the commands that ask a cluster share: their options, the connection, and how errors end.

The client is loaded here and only when a command runs, since that takes a second.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from trimtab_cli.access import AbstractCluster, ClusterError, KindMissingError
from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.results import ResultsError

__all__ = ["ContextOption", "JobArgument", "NamespaceOption", "connect", "end_with_message"]

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name of an OptimizationJob.")]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Default: that of the context."),
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Context of the kubeconfig."),
]


def connect(context: str | None, namespace: str | None) -> AbstractCluster:
    """Return the cluster that the options name.

    Raises:
        ClusterError: There is none.
    """
    cluster: AbstractCluster = importlib.import_module("trimtab_cli.cluster").connect_cluster(
        context=context, namespace=namespace
    )
    return cluster


@contextmanager
def end_with_message() -> Iterator[None]:
    """End the command with one line and the right exit code where the cluster has no answer."""
    try:
        yield
    except KindMissingError as error:
        text = f"the cluster does not know OptimizationJobs ({error}); see: trimtab doctor"
        _stop(text, error.exit_code, error)
    except (ClusterError, ResultsError) as error:
        _stop(str(error), error.exit_code, error)
    except OSError as error:
        _stop(f"cannot write: {error}", ExitCode.BAD_INPUT, error)


def _stop(message: str, code: ExitCode, cause: Exception) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code) from cause
