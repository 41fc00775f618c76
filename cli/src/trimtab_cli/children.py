"""The objects that the operator makes of a job, before there is a job. Pure.

Called by `trimtab plan` to show them and by `trimtab doctor` to see what they need. The builders
are the operator's; what only a cluster knows stands there as words in angle brackets.
"""

from typing import Any

from trimtab_api.defaults import DETECTED_PROFILE, expand_job
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.child_settings import ChildSettings
from trimtab_operator.resources.children import (
    build_attempt,
    build_control,
    build_shared,
    build_targets,
)
from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.places import storage_uri

__all__ = ["UNKNOWN_IMAGE", "UNKNOWN_STORAGE", "plan_children"]

UNKNOWN_IMAGE = "<image of the operator>"
UNKNOWN_STORAGE = "<storage of the operator>"
_UNKNOWN_UID = "<uid of the job>"
_UNKNOWN_RECORD = "<record of the operator>"
_FIRST_ATTEMPT = 1


def plan_children(
    job: OptimizationJob,
    *,
    namespace: str,
    image: str = UNKNOWN_IMAGE,
    storage: str = UNKNOWN_STORAGE,
) -> tuple[dict[str, Any], ...]:
    """Return the manifests of a job's first attempt, and of the Jobs of its placed targets.

    Args:
        job: A valid job.
        namespace: Where it would be created.
        image: The operator's trainer image, for a job that names none.
        storage: The operator's storage root, for a job that names none.
    """
    # Cores count for nothing here: a target's threads are no part of any child.
    spec = expand_job(job, cores=1, detected=DETECTED_PROFILE).spec
    identity = JobIdentity(
        name=job.metadata.name,
        namespace=namespace,
        uid=_UNKNOWN_UID,
        labels=job.metadata.labels,
    )
    inputs = AttemptInputs(
        identity=identity,
        spec=spec,
        attempt=_FIRST_ATTEMPT,
        storage=storage_uri(spec, storage) or storage,
        settings=ChildSettings(image=image, storage_uri=storage),
    )
    document = job.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return (
        *build_shared(identity, spec.cluster.service_account_name, build_control(inputs)),
        *build_attempt(inputs, document, _UNKNOWN_RECORD),
        *build_targets(inputs),
    )
