"""Names of children fit into what Kubernetes and KubeRay allow, and can be read back."""

import pytest

from trimtab_operator.resources.names import (
    MOST_ATTEMPTS,
    attempt_name,
    network_name,
    parse_attempt,
    report_name,
    target_job_name,
)

LONGEST_JOB = "j" * 40
LONGEST_TARGET = "t" * 20


def test_the_longest_names_fit() -> None:
    assert len(attempt_name(LONGEST_JOB, MOST_ATTEMPTS)) == 47
    assert len(target_job_name(LONGEST_JOB, LONGEST_TARGET)) == 63
    assert len(report_name(LONGEST_JOB)) <= 63
    assert len(network_name(LONGEST_JOB)) <= 63


@pytest.mark.parametrize("attempt", [1, 12, MOST_ATTEMPTS])
def test_an_attempt_is_read_back_from_its_name(attempt: int) -> None:
    assert parse_attempt("digits", attempt_name("digits", attempt)) == attempt


@pytest.mark.parametrize(
    "name", ["digits", "digits-a0", "digits-a01", "digits-progress", "other-a1", "digits-b-a1"]
)
def test_other_names_are_no_attempts(name: str) -> None:
    assert parse_attempt("digits", name) is None


@pytest.mark.parametrize("attempt", [0, -1, MOST_ATTEMPTS + 1])
def test_a_number_that_fits_into_no_name_is_refused(attempt: int) -> None:
    with pytest.raises(ValueError, match="must be 1 to 99999"):
        attempt_name("digits", attempt)
