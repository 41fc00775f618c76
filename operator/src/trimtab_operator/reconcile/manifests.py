"""Parses manifests of jobs, of which a pass looks at the same ones again and again.

Used for the job itself and for what an attempt started with. Parsing costs milliseconds and the
result tens of kilobytes, so the last ones are kept, with what follows from them, and those of jobs
at rest are not.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from pydantic_core import from_json

from trimtab_api.defaults import DETECTED_PROFILE, expand_spec
from trimtab_api.findings import Finding, InvalidJobError
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.validation import parse_job
from trimtab_operator.reconcile.attempts import fingerprint_next

__all__ = ["ParsedManifest", "parse_manifest"]

_KEPT = 32


@dataclass(frozen=True)
class ParsedManifest:
    """A manifest, and what follows from nothing else; worked out when it is first asked for."""

    job: OptimizationJob | None
    """None where it breaks a rule."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with it then."""

    @cached_property
    def expanded(self) -> Spec | None:
        """Return the spec with its defaults, but for what a target's node decides."""
        job = self.job
        return expand_spec(job.spec, cores=1, detected=DETECTED_PROFILE) if job else None

    @cached_property
    def fingerprint(self) -> str | None:
        """Return that of the fields which only a new attempt can take over."""
        return fingerprint_next(self.job.spec) if self.job else None


@lru_cache(maxsize=_KEPT)
def parse_manifest(text: str) -> ParsedManifest:
    """Return a job, or what is wrong with it.

    Args:
        text: JSON.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return ParsedManifest(parse_job(from_json(text), is_stored=True))
    except InvalidJobError as error:
        return ParsedManifest(None, error.findings)
