"""A benchmark's report tells figures beside their goals, as text and as JSON."""

import json
from pathlib import Path

import pytest

from bench.measurement import Figure, Goal, Report, Sense, median


def make_report() -> Report:
    report = Report("toy", {"seeds": 3})
    report.add_table("times", [{"way": "ours", "ms": 1.23456}, {"way": "theirs", "ms": None}])
    report.add_figure(Figure("overhead", 25.0, "ms", Goal(Sense.AT_MOST, 20)))
    report.add_figure(Figure("ratio", 60.0, "×", Goal(Sense.AT_LEAST, 50)))
    return report


def test_a_report_is_printed_with_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    make_report().publish(None)
    lines = capsys.readouterr().out.splitlines()
    assert "ours    1.235" in lines
    assert "theirs      -" in lines
    assert "overhead     25  ms    ≤ 20  not met" in lines
    assert "ratio        60  ×     ≥ 50  met" in lines


def test_a_report_is_written_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    make_report().publish(path)
    capsys.readouterr()
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["tables"]["times"][0] == {"way": "ours", "ms": 1.23456}
    assert [figure["met"] for figure in document["figures"]] == [False, True]
    assert document["settings"] == {"seeds": 3}
    assert document["machine"]["cores"].isdigit()


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    report = Report("toy", {})
    report.add_figure(Figure("ratio", float("nan")))
    with pytest.raises(ValueError, match="JSON"):
        report.publish(tmp_path / "report.json")
    assert not list(tmp_path.iterdir())


def test_a_figure_without_a_value_does_not_meet_its_goal() -> None:
    assert Figure("share", None, "", Goal(Sense.AT_MOST, 1)).describe_verdict() == "not met"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 1.0, 2.0], 2.0),
        ([1.0, 2.0], 1.5),
        ([1.0, None], 1.0),
        ([1.0, None, None], None),
        ([None, 5.0, 3.0], 5.0),
    ],
)
def test_the_median_counts_a_missing_value_as_the_largest(
    values: list[float | None], expected: float | None
) -> None:
    assert median(values) == expected
