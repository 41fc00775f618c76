"""What is remembered of attempts survives, and what cannot be read is forgotten."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from job_world import make_manifest, make_settings
from trimtab_api.validation import parse_job
from trimtab_operator.reconcile.attempts import (
    AttemptEnd,
    AttemptRecord,
    EndCause,
    fingerprint_next,
    parse_record,
    pause_before_next,
    render_record,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def ended(cause: EndCause, failures: int = 0) -> AttemptRecord:
    return AttemptRecord(failures=failures, end=AttemptEnd(cause=cause, at=NOW))


def fingerprint(**spec: object) -> str:
    return fingerprint_next(parse_job(make_manifest(**spec)).spec)


@pytest.mark.parametrize(
    "record",
    [
        AttemptRecord(),
        AttemptRecord(failures=2, active_seconds=1.5, retry="x", fingerprint="f", admitted=NOW),
        ended(EndCause.HEAD_LOST, failures=3),
    ],
)
def test_a_record_is_read_back_as_it_was_written(record: AttemptRecord) -> None:
    assert parse_record(render_record(record)) == record


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"failures": -1}', '{"end": {"at": 1}}'])
def test_a_garbled_record_counts_as_nothing_remembered(text: str | None) -> None:
    assert parse_record(text) == AttemptRecord()


def test_a_record_of_a_newer_version_is_read_without_what_is_new() -> None:
    assert parse_record('{"failures": 2, "novel": 1}').failures == 2


@pytest.mark.parametrize("cause", list(EndCause))
def test_failed_attempts_count_and_wait_longer_up_to_a_bound(cause: EndCause) -> None:
    settings = make_settings()
    pauses = [pause_before_next(ended(cause, failures), settings) for failures in range(40)]
    assert ended(cause, 2).failures_after == (3 if cause.counts else 2)
    assert all(shorter <= longer for shorter, longer in pairwise(pauses))
    assert pauses[-1] == (settings.longest_backoff if cause.counts else pauses[0])


def test_what_a_user_or_a_queue_did_waits_for_nothing() -> None:
    for cause in (EndCause.SUSPENDED, EndCause.EVICTED, EndCause.DELETED, EndCause.SPEC_EDITED):
        assert pause_before_next(ended(cause), make_settings()) == 0


def test_only_fields_of_the_next_attempt_change_its_fingerprint() -> None:
    plain = fingerprint()
    assert fingerprint(cluster={}) == plain
    assert fingerprint(cluster={"device": "Auto"}) == plain
    assert fingerprint(backoffLimit=7, suspend=True) == plain
    assert fingerprint(stages={"search": {"numTrials": 30}, "train": {}}) == plain
    assert fingerprint(cluster={"image": "a:1"}) != plain
    assert fingerprint(cluster={"workers": {"nodeSelector": {"a": "b"}}}) != plain
    rules = [{"class": "Timeout", "actions": ["FailJob"]}]
    assert fingerprint(failurePolicy={"rules": rules}) != plain
