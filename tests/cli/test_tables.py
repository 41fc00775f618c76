"""The summary at the end of a run names what ships, what was rejected and where the files are."""

from pathlib import Path

import pytest

from report_builder import make_missed_report, make_partial_report, make_report
from trimtab_api.reports import RunReport
from trimtab_cli.rendering.tables import print_result


def print_lines(report: RunReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_result(report, Path("runs/digits"))
    return capsys.readouterr().out.splitlines()


def test_the_table_sets_candidates_beside_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_report(), capsys)

    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[3:7]}
    assert rows["dense"] == "97.78 % ±0 points 97.04 % 0.365 MiB 0.141 ms 1×"
    assert rows["pruned-int8"] == (
        "97.04 % \N{MINUS SIGN}0.74 points 96.30 % 0.0518 MiB 0.0731 ms 1.93× ships"
    )
    assert rows["dense-int8"].endswith("rejected")
    assert max(map(len, lines[:7])) <= 80


def test_the_verdict_is_a_sentence_with_paths(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_report(), capsys)

    gains = "7.05× smaller, 1.93× faster, accuracy 97.04 % (\N{MINUS SIGN}0.74 points)"
    assert lines[-6:] == [
        "dense-int8 rejected: speedup@edge min 1.6 is missed: 1.563",
        "digits: goals met",
        f"pruned-int8 ships for edge: {gains}",
        "nearest limit: accuracy maxDrop 0.01",
        "artifact: runs/digits/artifacts/pruned-int8.onnx",
        "report:   runs/digits/report.html",
    ]


def test_a_candidate_past_a_limit_is_not_called_rejected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = print_lines(make_missed_report(), capsys)

    verdicts = {line.split()[0]: line.rstrip() for line in lines[3:7]}
    assert verdicts["dense"].endswith(" over")
    assert verdicts["dense-int8"].endswith("rejected")
    assert verdicts["pruned-int8"].endswith("ships")
    assert "pruned over the limit: speedup@edge min 4 is missed" in lines
    assert "dense-int8 rejected: speedup@edge min 1.6 is missed: 1.563" in lines
    assert max(map(len, lines[:7])) <= 80


def test_a_missed_limit_is_named_with_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_missed_report(), capsys)

    assert "digits: complete, goals missed" in lines
    assert "nearest candidate shipped; speedup@edge min 4 missed by pruned-int8: 1.929" in lines


def test_an_unfinished_run_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_partial_report(), capsys)

    assert any(line.startswith("dense") for line in lines)
    assert lines[-2:] == ["digits: unfinished", "report:   runs/digits/report.html"]
