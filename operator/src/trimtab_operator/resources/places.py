"""Where a job's data lie, as its pods see it: claims to mount and Secrets to hand over.

Read by the pod builders and by the guards, which look whether the claims exist. Credentials never
pass through the operator: the kubelet resolves the references.
"""

import re
from typing import Any

from trimtab_api.labels import (
    CLAIMS_FOLDER,
    ENV_PREFIX_DATASET,
    ENV_PREFIX_MODEL,
    ENV_PREFIX_STORAGE,
)
from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.resources.security import OWN_VOLUMES

__all__ = [
    "build_claim_mounts",
    "build_claim_volumes",
    "build_secret_sources",
    "list_claims",
    "list_uris",
    "storage_uri",
]


def storage_uri(spec: Spec, default: str | None) -> str | None:
    """Return the storage root of a job; None where neither it nor the operator names one."""
    return spec.storage.uri if spec.storage else default


def list_uris(spec: Spec) -> dict[tuple[str, ...], str]:
    """Return every URI of a job under the path of its field."""
    dataset, weights = spec.dataset, spec.model.weights
    named = {
        ("spec", "model", "weights", "uri"): weights.uri if weights else None,
        ("spec", "dataset", "imageFolder"): dataset.image_folder,
        ("spec", "dataset", "idx"): dataset.idx,
        ("spec", "storage", "uri"): spec.storage.uri if spec.storage else None,
    }
    return {path: uri for path, uri in named.items() if uri is not None}


def list_claims(spec: Spec, storage: str | None) -> tuple[str, ...]:
    """Return the claims that a job needs, sorted.

    Args:
        spec: The job.
        storage: Its storage root.
    """
    uris = [*list_uris(spec).values(), *([storage] if storage else [])]
    return tuple(sorted({claim for uri in uris if (claim := _claim_of(uri)) is not None}))


def build_claim_volumes(spec: Spec, storage: str) -> list[dict[str, Any]]:
    """Return one volume per claim."""
    # A claim's name may be longer than a volume's, and may hold dots.
    return [
        {"name": f"{OWN_VOLUMES}claim-{index}", "persistentVolumeClaim": {"claimName": claim}}
        for index, claim in enumerate(list_claims(spec, storage))
    ]


def build_claim_mounts(spec: Spec, storage: str) -> list[dict[str, Any]]:
    """Return where the claims are mounted; only that of the storage can be written."""
    mounts: list[dict[str, Any]] = []
    for index, claim in enumerate(list_claims(spec, storage)):
        mount = {"name": f"{OWN_VOLUMES}claim-{index}", "mountPath": f"{CLAIMS_FOLDER}/{claim}"}
        mounts.append(mount if claim == _claim_of(storage) else {**mount, "readOnly": True})
    return mounts


def build_secret_sources(spec: Spec) -> list[dict[str, Any]]:
    """Return the Secrets that become environment variables, each with the prefix of its use."""
    weights = spec.model.weights
    references = (
        (ENV_PREFIX_STORAGE, spec.storage.secret_ref if spec.storage else None),
        (ENV_PREFIX_MODEL, weights.secret_ref if weights else None),
        (ENV_PREFIX_DATASET, spec.dataset.secret_ref),
    )
    return [
        {"prefix": prefix, "secretRef": {"name": reference.name}}
        for prefix, reference in references
        if reference is not None
    ]


def _claim_of(uri: str) -> str | None:
    match = re.match(r"pvc://([^/]+)", uri)
    return match[1] if match else None
