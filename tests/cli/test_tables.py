"""The summary at the end of a run names what ships, what was rejected and where the files are."""

from pathlib import Path

import pytest

from compression_builder import make_broad_parts
from report_builder import (
    make_manifest,
    make_missed_report,
    make_partial_parts,
    make_partial_report,
    make_parts,
    make_report,
)
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.status import BestTrial
from trimtab_cli.rendering.tables import print_result


def print_lines(report: RunReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_result(report, Path("runs/digits"))
    return capsys.readouterr().out.splitlines()


def test_the_table_sets_candidates_beside_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_report(), capsys)

    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[3:7]}
    assert lines[1].split()[:4] == ["candidate", "accuracy", "points", "test"]
    assert rows["dense"] == "97.78 % ±0 97.04 % 0.365 MiB 0.141 ms 1× over"
    assert rows["pruned-int8"] == (
        "97.04 % \N{MINUS SIGN}0.74 96.30 % 0.0518 MiB 0.0731 ms 1.93× ships"
    )
    assert rows["dense-int8"].endswith("rejected")
    assert max(map(len, lines[:7])) <= 80


def test_the_verdict_is_a_sentence_with_paths(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_report(), capsys)

    gains = "7.05× smaller, 1.93× faster, accuracy 97.04 % (\N{MINUS SIGN}0.74 points)"
    assert lines[-6:] == [
        "dense-int8 rejected on edge: speedup@edge min 1.6 is missed: 1.563",
        "digits: goals met",
        f"pruned-int8 ships for edge: {gains}",
        "nearest limit: accuracy maxDrop 0.01",
        "artifact: runs/digits/artifacts/pruned-int8.onnx",
        "report:   runs/digits/report.html",
    ]


@pytest.mark.parametrize(
    ("goal", "reached", "ending"),
    [
        (
            {"direction": "Maximize", "goal": 0.999},
            0.9963,
            "; objective goal 0.999 not reached (99.63 %)",
        ),
        ({"direction": "Maximize", "goal": 0.99}, 0.9963, ""),
        ({"direction": "Maximize"}, 0.9963, ""),
    ],
)
def test_a_goal_of_the_search_that_was_not_reached_is_told(
    goal: dict[str, object], reached: float, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = make_parts()
    parts.manifest = make_manifest(objectives=[{"metric": "accuracy", **goal}])
    report = parts.build()
    best = BestTrial(trial=0, value=reached)
    report = report.model_copy(update={"status": report.status.model_copy(update={"best": best})})

    assert f"digits: goals met{ending}" in print_lines(report, capsys)


def test_a_candidate_past_a_limit_is_not_called_rejected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = print_lines(make_missed_report(), capsys)

    verdicts = {line.split()[0]: line.rstrip() for line in lines[3:7]}
    assert verdicts["dense"].endswith(" over")
    assert verdicts["dense-int8"].endswith("rejected")
    assert verdicts["pruned-int8"].endswith("ships")
    assert "pruned over the limit on edge: speedup@edge min 4 is missed by 2.42 (1.579)" in lines
    assert "dense-int8 rejected on edge: speedup@edge min 1.6 is missed: 1.563" in lines
    assert max(map(len, lines[:7])) <= 80


def test_a_missed_limit_is_named_with_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_missed_report(), capsys)

    assert "digits: complete, goals missed" in lines
    assert "nearest candidate shipped; speedup@edge min 4 missed by pruned-int8: 1.929" in lines


def test_an_unfinished_run_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(make_partial_report(), capsys)

    assert any(line.startswith("dense") for line in lines)
    assert lines[-2:] == ["digits: unfinished", "report:   runs/digits/report.html"]


def test_what_has_no_file_or_no_time_on_a_target_is_said_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = make_parts()
    parts.manifest["spec"]["targets"].append({"name": "dc", "profile": "cpu-server"})
    dense, pruned, *_ = parts.candidates
    parts.candidates[0] = dense.model_copy(update={"metrics": {**dense.metrics, "size_mib@dc": 1}})
    figures = {"size_mib@dc": 0.5, "latency_p50_ms@dc": 1}
    parts.candidates[1] = pruned.model_copy(update={"metrics": {**pruned.metrics, **figures}})

    lines = print_lines(parts.build(), capsys)

    start = lines.index("target dc")
    words = {line.split()[0]: line.rstrip() for line in lines[start + 3 : start + 7]}
    assert words["dense"].endswith(" no time")
    assert words["pruned"].endswith(" ships")
    assert words["pruned-int8"].endswith(" no file")
    artifacts = [line for line in lines if line.startswith("artifact: ")]
    assert artifacts == [
        "artifact: runs/digits/artifacts/pruned-int8.onnx",
        "artifact: runs/digits/artifacts/pruned.onnx",
    ]


def test_before_the_end_a_candidate_has_the_verdict_of_its_stage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = make_partial_parts()
    parts.candidates = make_parts().candidates

    lines = print_lines(parts.build(), capsys)

    assert "dense-int8 rejected: speedup@edge min 1.6 is missed: 1.563" in lines


def test_a_stand_in_for_the_device_of_a_target_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = print_lines(make_broad_parts(measured=4).build(), capsys)

    titles = [line for line in lines if line.startswith("target ")]
    assert titles[0] == "target edge"
    assert titles[-1] == "target cloud, measured on cpu in place of cuda"
