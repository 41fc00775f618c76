"""What a pod of a job is told by the operator: who it works for, where, and the manifest.

Read by the driver and by the Jobs of targets when they start. What it says is trusted: the operator
wrote it.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trimtab_api.findings import InvalidJobError
from trimtab_api.labels import (
    CLAIMS_FOLDER,
    ENV_ATTEMPT,
    ENV_JOB,
    ENV_JOB_UID,
    ENV_NAMESPACE,
    ENV_STORAGE,
    JOB_FILE,
)
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.validation import parse_job
from trimtab_trainer.errors import EnvironmentMissingError, UserError
from trimtab_trainer.storage.opening import StoragePlace, job_uri

__all__ = ["DATA_ROOT", "SCRATCH", "PodSettings", "read_job", "read_settings"]

DATA_ROOT = Path(CLAIMS_FOLDER)
SCRATCH = Path(tempfile.gettempdir()) / "trimtab"
"""Where a bucket's files lie locally; the same in each pod, and each pod has its own."""


@dataclass(frozen=True, slots=True)
class PodSettings:
    """Whom a pod works for."""

    job: str
    namespace: str
    uid: str
    attempt: int
    storage: str
    """URI of the storage root, that of all jobs."""

    @property
    def place(self) -> StoragePlace:
        """Return where the job's folder is."""
        uri = job_uri(self.storage, namespace=self.namespace, name=self.job, uid=self.uid)
        return StoragePlace(uri, data_root=DATA_ROOT, scratch=SCRATCH)

    @property
    def report(self) -> str:
        """Return the name of the report ConfigMap."""
        return f"{self.job}-progress"


def read_settings(environment: Mapping[str, str] = os.environ) -> PodSettings:
    """Return what the environment says.

    Raises:
        EnvironmentMissingError: A variable is missing, or the attempt is no number.
    """
    try:
        return PodSettings(
            job=environment[ENV_JOB],
            namespace=environment[ENV_NAMESPACE],
            uid=environment[ENV_JOB_UID],
            attempt=int(environment[ENV_ATTEMPT]),
            storage=environment[ENV_STORAGE],
        )
    except (KeyError, ValueError) as error:
        raise EnvironmentMissingError(
            f"this program is started by the operator, which sets TRIMTAB_*, but: {error}"
        ) from error


def read_job(path: Path = Path(JOB_FILE)) -> OptimizationJob:
    """Return the job of the mounted manifest.

    Raises:
        EnvironmentMissingError: There is no such file.
        UserError: The job is not valid for this version of the trainer.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EnvironmentMissingError(f"{path} must hold the job as JSON but: {error}") from error
    try:
        return parse_job(document, is_stored=True)
    except InvalidJobError as error:
        raise UserError(f"the manifest is not valid: {error}") from error
