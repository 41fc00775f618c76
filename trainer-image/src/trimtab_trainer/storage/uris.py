"""Where the URIs of a manifest lie on this machine.

Called by whatever reads data or weights that the manifest names. It only computes a path; whether
something is there, and what it means that nothing is, is the caller's to say.
"""

from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from trimtab_trainer.errors import UserError

__all__ = ["resolve_uri"]


def resolve_uri(uri: str, *, data_root: Path) -> Path:
    """Return the local path that a URI stands for.

    Args:
        uri: `pvc://claim/path` or `file:///absolute/path` (percent-encoded).
        data_root: The folder that holds one folder per claim.

    Raises:
        UserError: The URI has another form, or leaves its claim by `..`.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "pvc" and rest.strip("/"):
        return data_root / _relative_path(rest)
    if separator and scheme == "file" and rest.startswith("/"):
        return Path(unquote(rest))
    # The text after the scheme is left out: it may hold credentials.
    shown = f"{scheme}://…" if separator else repr(uri)
    raise UserError(f"URI must be pvc://claim/path or file:///path but got {shown}")


def _relative_path(rest: str) -> PurePosixPath:
    path = PurePosixPath(rest.strip("/"))
    if ".." in path.parts:
        raise UserError(f"URI must stay inside its claim, without '..', but got pvc://{rest}")
    return path
