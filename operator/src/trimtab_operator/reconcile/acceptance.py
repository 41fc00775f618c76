"""Whether a manifest can run in this cluster: what neither the API server nor a local run can say.

Called when the situation of a job is put together. A claim counts as missing only until an attempt
starts: one that is lost later shows in the pods.
"""

from collections.abc import Iterator

from trimtab_api.findings import Finding
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import AcceptedReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.reconcile.observed import Observed
from trimtab_operator.reconcile.verdict import Acceptance
from trimtab_operator.resources.places import list_claims, list_uris, storage_uri

__all__ = ["judge_manifest"]

_LOCAL = "file://"


def judge_manifest(observed: Observed, default_storage: str | None) -> Acceptance:
    """Return whether the job can run here, with every reason why not of the first kind.

    Args:
        observed: The job and the claims that exist.
        default_storage: The operator's storage root.
    """
    job = observed.job.job
    if job is None:
        return _invalid(observed.job.manifest.findings)
    findings = tuple(_find_local_places(job.spec))
    if findings:
        return _invalid(findings)
    storage = storage_uri(job.spec, default_storage)
    if storage is None:
        return Acceptance(
            AcceptedReason.STORAGE_MISSING,
            "spec.storage is required: the operator has no default storage",
        )
    missing = [claim for claim in list_claims(job.spec, storage) if claim not in observed.claims]
    if missing:
        names = ", ".join(missing)
        message = f"no PersistentVolumeClaim {names} in namespace {observed.job.namespace}"
        return Acceptance(AcceptedReason.CLAIM_NOT_FOUND, message)
    return Acceptance(AcceptedReason.SPEC_ACCEPTED)


def _invalid(findings: tuple[Finding, ...]) -> Acceptance:
    text = "; ".join(finding.describe() for finding in findings)
    return Acceptance(AcceptedReason.INVALID_SPEC, shorten(text))


def _find_local_places(spec: Spec) -> Iterator[Finding]:
    for path, uri in list_uris(spec).items():
        if uri.startswith(_LOCAL):
            yield Finding(path, f'"{uri}"', "must begin with pvc:// or s3:// in a cluster")
