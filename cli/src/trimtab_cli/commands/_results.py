"""What `trimtab fetch` and `trimtab report` share: from a name to copied files or commands."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from trimtab_api.labels import ANNOTATION_IMAGE
from trimtab_cli.access import AbstractCluster, ClusterError, job_path
from trimtab_cli.jobs import ClusterJob, read_job
from trimtab_cli.rendering.structured import OutputFormat, render_structured
from trimtab_cli.results import (
    CopiedFile,
    Download,
    ResultPlace,
    copy_results,
    find_results,
    list_copy_commands,
)

__all__ = ["Outcome", "fetch_results", "print_outcome"]

_ANY_IMAGE = "IMAGE"
"""Stands for an image with `tar` where the job's cannot be seen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request for results: files, or the commands that bring them."""

    job: ClusterJob
    place: ResultPlace
    files: tuple[CopiedFile, ...] = ()
    commands: tuple[str, ...] = ()


def fetch_results(
    cluster: AbstractCluster, name: str, folder: Path, wanted: tuple[str, ...]
) -> Outcome:
    """Copy results to a folder, or say how.

    Raises:
        ClusterError: There is no such job, or no answer.
        ResultsError: There are no results, or they cannot be had.
        OSError: The folder cannot be written.
    """
    job = read_job(cluster.read(job_path(cluster.namespace, name)))
    place = find_results(job)
    if place.scheme == "pvc":
        image = job.image or _find_image(cluster, job) or _ANY_IMAGE
        commands = list_copy_commands(job, place, folder, wanted=wanted, image=image)
        return Outcome(job, place, commands=tuple(commands))
    source: Download = importlib.import_module("trimtab_cli.objects").BucketFolder(place)
    return Outcome(job, place, files=copy_results(source, folder, wanted))


def print_outcome(outcome: Outcome, output: OutputFormat) -> None:
    """Print the files with their hashes, or the commands."""
    if output is not OutputFormat.TEXT:
        typer.echo(render_structured(_describe(outcome), output), nl=False)
        return
    for file in outcome.files:
        typer.echo(f"{file.sha256}  {file.path}")
    if outcome.commands:
        typer.echo(f"# {outcome.place.uri()} is reached from inside the cluster; these copy it out")
        for command in outcome.commands:
            typer.echo(command)


def _describe(outcome: Outcome) -> dict[str, Any]:
    return {
        "storage": outcome.place.uri(),
        "files": [
            {"path": str(file.path), "bytes": file.size, "sha256": file.sha256}
            for file in outcome.files
        ],
        "commands": list(outcome.commands),
    }


def _find_image(cluster: AbstractCluster, job: ClusterJob) -> str | None:
    """Return the image that the job ran with; None where that is not to be seen."""
    name = f"{job.name}-a{job.status.attempt or 1}"
    try:
        config = cluster.read(f"/api/v1/namespaces/{job.namespace}/configmaps/{name}")
        return str(config["metadata"]["annotations"][ANNOTATION_IMAGE])
    except (ClusterError, KeyError, TypeError):
        return None
