"""The fingerprint of a job: equal for two manifests that may share one study.

It covers the fields that cannot change after creation, so an edit of the others, such as
numTrials, goes on with the study.
"""

import hashlib
import json
from typing import Any

from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.job import OptimizationJob

__all__ = ["fingerprint_job"]


# Who reconciles a job, where it keeps its results, what opens its data and where a target is
# measured change nothing of what it finds.
_OUTSIDE = {
    "image",
    "managed_by",
    "node_selector",
    "resources",
    "secret_ref",
    "storage",
    "tolerations",
}


def fingerprint_job(job: OptimizationJob) -> str:
    """Return the SHA-256, in hex, over the immutable fields of a job as it was written."""
    document = _immutable_part(job.spec)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _immutable_part(value: object) -> Any:
    if isinstance(value, ApiModel):
        return {
            name: _immutable_part(getattr(value, name))
            for name in type(value).model_fields
            if name not in value.mutability
            and name not in _OUTSIDE
            and getattr(value, name) is not None
        }
    if isinstance(value, tuple):
        return [_immutable_part(item) for item in value]
    return value
