"""The packages that requirements.lock names, for tests that hold images and environments to it."""

import re

from packaging.utils import canonicalize_name

from source_tree import ROOT

__all__ = ["read_lock"]

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def read_lock() -> dict[str, set[str]]:
    """Return name → versions; a package may have one per platform."""
    versions: dict[str, set[str]] = {}
    for name, version in _LOCKED.findall((ROOT / "requirements.lock").read_text("utf-8")):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions
