"""Log lines are JSON, name their job, and hold no credentials."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from trimtab_operator.telemetry.logs import bind_job, get_logger, set_up_logs


@pytest.fixture(autouse=True)
def keep_logging() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def read_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_names_job_and_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("INFO")
    with bind_job(namespace="team", job="digits", attempt=2):
        get_logger("here").info("planned", actions=3)
    get_logger("here").debug("not shown")
    (line,) = read_lines(capsys)
    assert {
        "namespace": "team",
        "job": "digits",
        "attempt": 2,
        "actions": 3,
    }.items() <= line.items()
    assert line["event"] == "planned"
    assert line["level"] == "info"


def test_lines_of_other_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("INFO")
    with bind_job(namespace="team", job="digits"):
        logging.getLogger("kopf.somewhere").error("the watch %s ended", "pods")
    (line,) = read_lines(capsys)
    assert line["event"] == "the watch pods ended"
    assert line["job"] == "digits"


def test_credentials_in_addresses_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("INFO")
    get_logger("here").warning("failed", uri="s3://me:secret@bucket/x")
    (line,) = read_lines(capsys)
    assert line["uri"] == "s3://***@bucket/x"
