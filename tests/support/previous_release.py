"""The release before this one, taken from the history of git, so that its operator can be run.

Used by the tests of upgrades. Until there are releases it is a state of the main branch.
"""

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from source_tree import ROOT

__all__ = ["PREVIOUS", "HistoryMissingError", "operator_environment", "unpack_previous"]

PREVIOUS = "707d0e642af59568d72b30697d496c479410a2c8"
"""To be moved at each release, to the commit of the one before."""

_PARTS = ("api/src", "operator/src", "crds", "deploy")
_SOURCES = _PARTS[:2]


class HistoryMissingError(RuntimeError):
    """The clone lacks the commit; says how to get it."""


def unpack_previous(folder: Path) -> Path:
    """Write what the tests need of the previous release into a folder, and return the folder.

    Raises:
        HistoryMissingError: This is no clone, or a shallow one.
    """
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", PREVIOUS, *_PARTS], check=False, capture_output=True
    )
    if done.returncode:
        raise HistoryMissingError(
            f"the previous release, commit {PREVIOUS}, is needed from the history of git: run the"
            " tests in a whole clone; a shallow one becomes whole by `git fetch --unshallow`:"
            f" {done.stderr.decode().strip()}"
        )
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def operator_environment(release: Path) -> dict[str, str]:
    """Return the environment in which this Python runs the operator of an unpacked release.

    Raises:
        HistoryMissingError: Its modules would come from elsewhere.
    """
    path = os.pathsep.join(str(release / part) for part in _SOURCES)
    program = "import trimtab_api, trimtab_operator as o; print(trimtab_api.__file__, o.__file__)"
    told = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if not all(place.startswith(str(release)) for place in told.stdout.split()):
        raise HistoryMissingError(f"the previous operator would come from {told.stdout}")
    return {"PYTHONPATH": path}
