"""Edits of a manifest by path, so that a test names only what it is about."""

from collections.abc import Mapping
from typing import Any

from report_builder import make_manifest

__all__ = ["REMOVED", "edit_manifest"]

REMOVED = object()
"""Stands for a field that is taken out."""


def edit_manifest(edits: Mapping[str, object]) -> dict[str, Any]:
    """Return a valid manifest with fields replaced: `spec.targets.0.name` → value."""
    manifest = make_manifest()
    for path, value in edits.items():
        *parents, last = path.split(".")
        here: Any = manifest
        for part in parents:
            here = here[int(part)] if part.isdigit() else here.setdefault(part, {})
        if value is REMOVED:
            del here[last]
        elif last.isdigit():
            here[int(last)] = value
        else:
            here[last] = value
    return manifest
