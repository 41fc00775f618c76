"""Reports count when they are of this job, can be read and are news; else the last good one does."""

import json
from typing import Any

import pytest

from trimtab_api.stages import StageName
from trimtab_operator.cluster.reports import KeptReport, ReportReading, read_report


def make_text(attempt: int = 1, sequence: int = 5, uid: str = "uid", **fields: Any) -> str:
    return json.dumps({"schema": 1, "uid": uid, "attempt": attempt, "sequence": sequence, **fields})


def make_last(attempt: int = 1, sequence: int = 5) -> KeptReport:
    kept = read({"progress.json": make_text(attempt, sequence)}).kept
    assert kept is not None
    return kept


def read(data: dict[str, str], *, last: KeptReport | None = None, newest: int = 2) -> ReportReading:
    return read_report(data, uid="uid", targets=("edge",), newest=newest, last=last)


def test_a_report_that_grew_counts() -> None:
    reading = read({"progress.json": make_text(sequence=6)}, last=make_last())
    assert reading.stale is None
    assert reading.view.progress is not None
    assert reading.view.progress.sequence == 6


def test_a_later_attempt_counts_although_its_sequence_begins_anew() -> None:
    reading = read({"progress.json": make_text(attempt=2, sequence=0)}, last=make_last())
    assert reading.stale is None
    assert reading.view.progress is not None
    assert reading.view.progress.attempt == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (make_text(sequence=4), "report 4 was dropped: 5 came before it"),
        (make_text(sequence=5, message="other"), "report 5 was dropped"),
        (make_text(uid="another"), "a report of another job, another, was dropped"),
        (make_text(attempt=3), "a report of attempt 3 was dropped: the latest is 2"),
    ],
    ids=["lower", "same-number", "other-job", "attempt-that-is-not"],
)
def test_f45_what_is_old_or_foreign_is_dropped_and_said(text: str, words: str) -> None:
    last = make_last()
    reading = read({"progress.json": text}, last=last)
    assert reading.kept is last
    assert reading.view.progress == last.read()
    assert reading.view.invalid is None
    assert reading.stale is not None
    assert words in reading.stale


def test_f45_an_older_attempt_is_dropped() -> None:
    last = make_last(attempt=2, sequence=0)
    reading = read({"progress.json": make_text(attempt=1, sequence=99)}, last=last)
    assert reading.kept is last
    assert reading.view.progress == last.read()
    assert reading.stale == "a report of attempt 1 was dropped: 2 has reported"


def test_f45_the_time_in_a_report_changes_nothing() -> None:
    for time in ("1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "yesterday"):
        reading = read({"progress.json": make_text(sequence=6, time=time)}, last=make_last())
        assert reading.stale is None
        assert reading.view.progress is not None


def test_f04_the_same_report_again_is_no_news_and_no_fault() -> None:
    reading = read({"progress.json": make_text()}, last=make_last())
    assert reading.stale is None
    assert reading.view.progress == make_last().read()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        make_text(sequence=-1),
        make_text(sequence="x"),
        '{"schema": 1}',
        "x" * 40_000,
    ],
    ids=["cut", "list", "null", "negative", "type", "fields", "size"],
)
def test_f43_f44_what_cannot_be_read_leaves_the_last_good_report(text: str) -> None:
    last = make_last()
    reading = read({"progress.json": text}, last=last)
    assert reading.kept is last
    assert reading.view.progress == last.read()
    assert reading.view.invalid
    assert reading.stale is None


def test_no_report_yet_is_no_fault() -> None:
    assert read({"control.json": "{}"}).view.progress is None
    assert read({"control.json": "{}"}).view.invalid is None


def test_entries_of_stages_and_targets_count_if_they_are_of_this_job() -> None:
    def make_entry(uid: str, stage: str) -> str:
        return json.dumps({"schema": 1, "uid": uid, "attempt": 1, "stage": {"name": stage}})

    target = {
        "schema": 1,
        "uid": "uid",
        "attempt": 1,
        "node": "edge-1",
        "device": "cpu",
        "baseline": {"latency_p50_ms": 2.0},
        "candidates": {"dense": {"latency_p50_ms": 2.0}},
    }
    reading = read(
        {
            "search.json": make_entry("uid", "search"),
            "train.json": make_entry("another", "train"),
            "prune.json": make_entry("uid", "search"),
            "quantize.json": "{",
            "target-edge.json": json.dumps(target),
            "target-other.json": json.dumps(target),
        }
    )
    assert [entry.stage.name for entry in reading.view.stages] == [StageName.SEARCH]
    assert list(reading.view.targets) == ["edge"]


def test_a_forged_target_is_left_out() -> None:
    forged = json.dumps({"schema": 1, "uid": "another", "attempt": 1})
    assert read({"target-edge.json": forged}).view.targets == {}
