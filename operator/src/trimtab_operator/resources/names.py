"""Every name that is derived from a job, in one place.

A job's name has at most 40 characters, KubeRay allows 47 for a RayJob and Kubernetes 63 for the
label that a Job's name becomes; the longest names below have 47 and 63 (tested).
"""

import re

__all__ = [
    "MOST_ATTEMPTS",
    "attempt_name",
    "network_name",
    "parse_attempt",
    "read_attempt",
    "report_name",
    "target_job_name",
]

MOST_ATTEMPTS = 99_999
"""Attempts that fit into the name of a RayJob."""


def attempt_name(job: str, attempt: int) -> str:
    """Return the name of the RayJob and of the spec ConfigMap of an attempt.

    Raises:
        ValueError: The number does not fit into a name.
    """
    if not 1 <= attempt <= MOST_ATTEMPTS:
        raise ValueError(f"attempt of {job} must be 1 to {MOST_ATTEMPTS} but got {attempt}")
    return f"{job}-a{attempt}"


def parse_attempt(job: str, name: str) -> int | None:
    """Return the attempt that an object of this name belongs to; None if it is no attempt's."""
    match = re.fullmatch(rf"{re.escape(job)}-a([1-9][0-9]{{0,4}})", name)
    return int(match[1]) if match else None


def read_attempt(name: str) -> int | None:
    """Return the attempt in the name of a RayJob of any job; None if it names none."""
    match = re.fullmatch(r".+-a([1-9][0-9]{0,4})", name)
    return int(match[1]) if match else None


def report_name(job: str) -> str:
    """Return the name of the report ConfigMap and of the account, Role and RoleBinding for it."""
    return f"{job}-progress"


def network_name(job: str) -> str:
    """Return the name of the NetworkPolicy."""
    return f"{job}-ray"


def target_job_name(job: str, target: str) -> str:
    """Return the name of the Job that measures a target."""
    return f"{job}-t-{target}"
