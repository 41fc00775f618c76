"""Where the results of a job lie, and what of them is copied out.

Called by `trimtab fetch` and `trimtab report`. From a bucket files are copied directly, with the
user's own credentials. A claim is reached only from inside the cluster: for it there are commands.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.jobs import ClusterJob
from trimtab_cli.rendering.structured import render_yaml

__all__ = [
    "ARTIFACTS",
    "REPORTS",
    "CopiedFile",
    "Download",
    "ResultPlace",
    "ResultsError",
    "copy_results",
    "find_results",
    "list_copy_commands",
]

REPORTS = ("report.json", "report.html")
ARTIFACTS = "artifacts"
_MANIFEST = f"{ARTIFACTS}/manifest.json"
_CHUNK = 1024**2
_USER = 1000
_COPY_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "64Mi"},
    "limits": {"cpu": "1", "memory": "256Mi"},
}
"""Enough for `tar`, and a quota of the namespace may ask for all four."""


class ResultsError(Exception):
    """Results are not there, or not as they should be."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.JOB_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ResultPlace:
    """The folder of a job's last attempt."""

    scheme: str
    """s3 or pvc."""
    container: str
    """Bucket or claim."""
    path: str
    """Inside it, without slashes at the ends."""

    def uri(self) -> str:
        """Return the place as a URI."""
        return f"{self.scheme}://{self.container}/{self.path}"


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """One file that was copied out."""

    path: Path
    size: int
    sha256: str


class Download(Protocol):
    """Copies what lies below a place to a folder; made by `objects`."""

    def list_files(self) -> Mapping[str, int]:
        """Return the files below the place, by their paths relative to it, with their sizes."""

    def copy_file(self, name: str, path: Path) -> None:
        """Copy one of them."""


def find_results(job: ClusterJob) -> ResultPlace:
    """Return where the results of a job lie.

    Raises:
        ResultsError: The job has no storage yet, or one that nothing can be copied from.
    """
    storage = job.status.storage
    if not storage:
        raise ResultsError(f"{job.name} has stored nothing yet: its status names no storage")
    scheme, _, rest = storage.partition("://")
    container, _, path = rest.partition("/")
    if scheme not in {"s3", "pvc"} or not container:
        raise ResultsError(f"the storage of {job.name} must be s3:// or pvc:// but is {storage}")
    return ResultPlace(scheme, container, path.strip("/"))


def copy_results(source: Download, folder: Path, wanted: tuple[str, ...]) -> tuple[CopiedFile, ...]:
    """Copy files out and check the hashes that the manifest of the artifacts gives.

    Args:
        source: What lies at the place of the results.
        folder: Where they go; made if it is not there.
        wanted: Names of files, and of folders whose files are all meant.

    Raises:
        ResultsError: None of it is there, or a file is not what its manifest says.
        OSError: The folder cannot be written.
    """
    names = sorted(
        name
        for name in source.list_files()
        if any(name == entry or name.startswith(f"{entry}/") for entry in wanted)
    )
    if not names:
        raise ResultsError(f"none of {', '.join(wanted)} has been stored yet")
    copied = []
    for name in names:
        path = _place_in(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A copy that breaks off leaves no file of the right name.
        part = path.with_name(f"{path.name}.part")
        source.copy_file(name, part)
        part.replace(path)
        copied.append(CopiedFile(path, path.stat().st_size, _digest(path)))
    if _MANIFEST in names:
        _check_artifacts(folder)
    return tuple(copied)


def list_copy_commands(
    job: ClusterJob, place: ResultPlace, folder: Path, *, wanted: tuple[str, ...], image: str
) -> Iterator[str]:
    """Yield the commands that copy results out of a claim through a pod.

    They are one program for a shell, whose end removes the pod.

    Args:
        job: Whose results.
        place: Where they lie; a claim.
        folder: Where they go.
        wanted: Names of files and folders.
        image: Any image with `tar` that the cluster can pull, such as the trainer's.
    """
    pod = f"{job.name}-copy"
    kubectl = f"kubectl -n {job.namespace}"
    manifest = render_yaml(_build_copy_pod(job, place, pod, image)).rstrip()
    yield f"{kubectl} apply -f - <<'END'\n{manifest}\nEND"
    # Only a pod that was made here is removed, also where a copy fails or is interrupted.
    yield f"trap {shlex.quote(f'{kubectl} delete pod {pod}')} EXIT"
    yield "trap 'exit 1' HUP INT TERM"
    yield f"{kubectl} wait --for=condition=Ready --timeout=5m pod/{pod}"
    yield f"mkdir -p {shlex.quote(str(folder))}"
    for name in wanted:
        source = shlex.quote(f"{pod}:results/{place.path}/{name}")
        yield f"{kubectl} cp {source} {shlex.quote(str(folder / name))}"


def _build_copy_pod(job: ClusterJob, place: ResultPlace, name: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": job.namespace},
        "spec": {
            **job.placement,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 3600,
            # `sleep` does not listen, and whoever deletes the pod would wait for it.
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "fsGroup": _USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "copy",
                    "image": image,
                    "command": ["sleep", "3600"],
                    # kubectl cp takes paths relative to it.
                    "workingDir": "/",
                    "resources": _COPY_RESOURCES,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "results", "mountPath": "/results", "readOnly": True}
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "results",
                    "persistentVolumeClaim": {"claimName": place.container, "readOnly": True},
                }
            ],
        },
    }


def _place_in(folder: Path, name: str) -> Path:
    """Return where a stored file goes; whoever writes to the bucket does not choose the folder."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ResultsError(f"a stored file must lie inside its folder but is named {name!r}")
    return folder.joinpath(*parts)


def _check_artifacts(folder: Path) -> None:
    manifest = folder / _MANIFEST
    try:
        entries = json.loads(manifest.read_text("utf-8"))["artifacts"]
        expected = {
            (entry["file"], *entry.get("companions", ())): entry["sha256"] for entry in entries
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{manifest} must be a manifest of artifacts: {error!r}") from error
    for names, sha256 in expected.items():
        paths = [_place_in(folder / ARTIFACTS, name) for name in names]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise ResultsError(f"the manifest lists {', '.join(missing)}, which was not stored")
        found = _digest(*paths)
        if found != sha256:
            raise ResultsError(f"{paths[0]} must have SHA-256 {sha256} but has {found}")


def _digest(*paths: Path) -> str:
    """Return the SHA-256 of files one after another, as the manifest gives it."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
