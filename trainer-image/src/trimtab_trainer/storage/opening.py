"""From a storage URI to the storage of a run.

Called by the driver, by each process of a slot and by the Jobs that measure targets, with the same
arguments: a `StoragePlace` carries them between processes.
"""

from dataclasses import dataclass
from pathlib import Path

from trimtab_trainer.storage._base import AbstractRunStorage
from trimtab_trainer.storage.bucket import BucketStorage
from trimtab_trainer.storage.claim import ClaimStorage
from trimtab_trainer.storage.objects import ObjectStore, read_access
from trimtab_trainer.storage.uris import parse_bucket, resolve_uri

__all__ = ["StoragePlace", "job_uri", "open_storage"]


@dataclass(frozen=True, slots=True)
class StoragePlace:
    """Where the storage of a run is; plain values, the same in every process of the run."""

    uri: str
    """Of the job's folder, as `job_uri` gives it."""
    data_root: Path
    """Holds one folder per claim."""
    scratch: Path
    """Local folder that stands for the storage root of a bucket; the same path on every machine
    of the run, since arguments of work name files below it."""

    def open(self) -> AbstractRunStorage:
        """Return the storage there.

        Raises:
            UserError: As for `open_storage`.
        """
        return open_storage(self.uri, data_root=self.data_root, scratch=self.scratch)


def job_uri(storage: str, *, namespace: str, name: str, uid: str) -> str:
    """Return the URI of a job's folder below the storage root that `spec.storage.uri` names."""
    return f"{storage.rstrip('/')}/{namespace}/{name}/{uid}"


def open_storage(uri: str, *, data_root: Path, scratch: Path) -> AbstractRunStorage:
    """Return the storage of a job; nothing is read or made yet.

    Args:
        uri: Of the job's folder: `pvc://claim/path`, `s3://bucket/prefix` or `file:///path`.
        data_root: Holds one folder per claim.
        scratch: Local folder that stands for a bucket; of no concern elsewhere.

    Raises:
        UserError: The URI has another form, or is no job's.
    """
    place = parse_bucket(uri)
    if place is not None:
        return BucketStorage(ObjectStore(place.bucket, read_access()), place, scratch)
    return ClaimStorage(resolve_uri(uri, data_root=data_root))
