"""Events of one reason keep their distance, and one event is never posted twice."""

from datetime import UTC, datetime

from kubernetes_validate import validate

from trimtab_api.events import EventReason
from trimtab_operator.telemetry.events import Event, EventLimiter, JobReference, build_event

JOB = JobReference("team", "digits", "uid-1")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_f15_one_event_per_reason_and_span_and_job() -> None:
    limiter = EventLimiter(300.0)
    assert limiter.admit("a", EventReason.RETRYING, 0.0)
    assert not limiter.admit("a", EventReason.RETRYING, 299.0)
    assert limiter.admit("a", EventReason.FAILED, 1.0)
    assert limiter.admit("b", EventReason.RETRYING, 1.0)
    assert limiter.admit("a", EventReason.RETRYING, 300.0)


def test_a_job_that_is_gone_leaves_nothing_behind() -> None:
    limiter = EventLimiter(300.0)
    limiter.admit("a", EventReason.RETRYING, 0.0)
    limiter.forget("a")
    assert limiter.admit("a", EventReason.RETRYING, 0.0)


def test_the_name_says_what_is_the_same_event() -> None:
    def name_of(event: Event) -> str:
        return str(build_event(JOB, event, now=NOW)["metadata"]["name"])

    first = Event(EventReason.NEW_BEST, "trial 3", key="1/7")
    assert name_of(first) == name_of(Event(EventReason.NEW_BEST, "other words", key="1/7"))
    assert name_of(first) != name_of(Event(EventReason.NEW_BEST, "trial 3", key="2/7"))
    assert name_of(first).startswith("digits.")


def test_an_event_is_a_valid_object_with_the_type_of_its_reason() -> None:
    event = build_event(JOB, Event(EventReason.FAILED, "x" * 5000, key="1"), now=NOW)
    validate(event, "1.34", strict=True)
    assert event["type"] == "Warning"
    assert len(event["message"]) == 1024
    assert event["involvedObject"]["uid"] == "uid-1"
