"""Parses manifests of jobs, of which a pass looks at the same ones again and again.

Used for the job itself and for what an attempt started with. Parsing costs milliseconds and the
result tens of kilobytes, so the last ones are kept, and those of jobs at rest are not.
"""

from functools import lru_cache

from pydantic_core import from_json

from trimtab_api.findings import Finding, InvalidJobError
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.validation import parse_job

__all__ = ["parse_manifest"]

_KEPT = 64


@lru_cache(maxsize=_KEPT)
def parse_manifest(text: str) -> tuple[OptimizationJob | None, tuple[Finding, ...]]:
    """Return a job, or None and what is wrong with it.

    Args:
        text: JSON.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return parse_job(from_json(text)), ()
    except InvalidJobError as error:
        return None, error.findings
