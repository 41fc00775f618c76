"""The URIs of a manifest: what they name, and where that lies on this machine.

Called by whatever reads data or weights that the manifest names, and by whoever opens storage. It
only parses and computes paths; whether something is there, and what it means that nothing is, is
the caller's to say.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from trimtab_trainer.errors import UserError

__all__ = ["BucketPlace", "parse_bucket", "resolve_uri"]


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """What an `s3://` URI names."""

    bucket: str
    prefix: str
    """Key or first part of keys, without slashes at its ends; may be empty."""

    def key(self, name: str) -> str:
        """Return the key of something below this place."""
        return f"{self.prefix}/{name}" if self.prefix else name


def parse_bucket(uri: str) -> BucketPlace | None:
    """Return the place that an `s3://bucket/prefix` URI names; None for a URI of another scheme.

    Raises:
        UserError: It names no bucket, or holds credentials, `.` or `..`.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme != "s3":
        return None
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    parts = prefix.split("/") if prefix else []
    if not bucket or "@" in bucket or any(part in {"", ".", ".."} for part in parts):
        # The text after the scheme is left out: it may hold credentials.
        raise UserError("URI must be s3://bucket/prefix, without '..' or a user, but got s3://…")
    return BucketPlace(bucket, prefix)


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
    shown = f"{scheme}://…" if separator else repr(uri)
    raise UserError(
        f"URI must be pvc://claim/path, s3://bucket/prefix or file:///path but got {shown}"
    )


def _relative_path(rest: str) -> PurePosixPath:
    path = PurePosixPath(rest.strip("/"))
    if ".." in path.parts:
        raise UserError(f"URI must stay inside its claim, without '..', but got pvc://{rest}")
    return path
