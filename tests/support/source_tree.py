"""The repository as files: what git would keep, and the modules of the members."""

import subprocess
from pathlib import Path

__all__ = ["ROOT", "SOURCE_FOLDERS", "list_kept_files", "list_modules"]

ROOT = Path(__file__).parents[2]
SOURCE_FOLDERS = ("api/src", "operator/src", "trainer-image/src", "cli/src")


def list_kept_files(*patterns: str) -> list[Path]:
    """Return files that are tracked, or new and not ignored, without deleted ones."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    paths = (ROOT / name for name in sorted(set(names)) if name)
    return [path for path in paths if path.is_file()]


def list_modules() -> list[Path]:
    """Return every Python file of the members that is not empty."""
    folders = [ROOT / folder for folder in SOURCE_FOLDERS]
    found = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [path for path in found if path.stat().st_size]
