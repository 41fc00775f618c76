"""What the API server says of manifests, as findings with file and line. Nothing is stored there.

Called by `trimtab validate --server`. The server's own fields, such as `spec.targets[0].name`,
become paths of the file.
"""

import re
from collections.abc import Iterator

from trimtab_api.findings import Finding
from trimtab_cli.access import AbstractCluster, RejectedError, job_path
from trimtab_cli.documents import Document, Path
from trimtab_cli.manifests import LocatedFinding, ManifestFile

__all__ = ["parse_field", "try_manifest"]

_PART = re.compile(r"\[(\d+)\]|\[([^\]]*)\]|([^.\[]+)")
_NO_FIELD = {"", "<nil>", "<root>"}


def try_manifest(
    cluster: AbstractCluster, manifest: ManifestFile, *, namespace: str | None
) -> Iterator[LocatedFinding]:
    """Yield what the API server has against the jobs of a file.

    Args:
        cluster: Whose server.
        manifest: A file.
        namespace: Where the jobs would be; None = where they say, else the context's.

    Raises:
        ClusterError: The server does not judge.
    """
    for job, document in zip(manifest.jobs, manifest.documents, strict=True):
        space = namespace or job.metadata.namespace or cluster.namespace
        data = {**document.data, "metadata": {**document.data["metadata"], "namespace": space}}
        try:
            cluster.try_apply(job_path(space, job.metadata.name), data)
        except RejectedError as error:
            for field, message in error.causes or (("", str(error)),):
                yield _locate(manifest, document, parse_field(field), message)


def parse_field(field: str) -> Path:
    """Return a field as the API server writes it as a path: `spec.targets[0].name`."""
    if field in _NO_FIELD:
        return ()
    return tuple(int(index) if index else key or name for index, key, name in _PART.findall(field))


def _locate(manifest: ManifestFile, document: Document, path: Path, message: str) -> LocatedFinding:
    finding = Finding(path, "", " ".join(message.split()))
    return LocatedFinding(str(manifest.path), document.find_line(path), finding)
