"""Charts are inline SVG in the colours of the page, with every point that they were given."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from trimtab_trainer.reporting.charts import (
    CandidatePoint,
    TrialPoint,
    draw_candidates,
    draw_epochs,
    draw_trials,
)

TRIALS = [TrialPoint(0, 0.9, 0.9), TrialPoint(1, None, 0.9), TrialPoint(2, 0.95, 0.95)]
POINTS = [
    CandidatePoint("dense", 1.0, 0.95, "candidate", on_front=True),
    CandidatePoint("small", 0.4, 0.94, "ships", on_front=True),
    CandidatePoint("<odd>", 0.9, 0.93, "rejected", on_front=False),
]


def draw_points(limit: float | None) -> str:
    return draw_candidates(POINTS, cost="size (MiB)", metric="accuracy", percent=True, limit=limit)


@pytest.mark.parametrize(
    "svg",
    [
        draw_trials(TRIALS, metric="accuracy", percent=True),
        draw_trials(TRIALS[:1], metric="error", percent=False),
        draw_points(0.94),
        draw_epochs({"accuracy": [(1, 0.5), (2, 0.7)]}, label="accuracy", percent=True),
    ],
    ids=["trials", "one-trial", "candidates", "epochs"],
)
def test_a_chart_is_svg_in_the_colours_of_the_page(svg: str) -> None:
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    colors = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg))
    assert colors <= {"none", "transparent"} | {color for color in colors if color[:4] == "var("}


def test_trials_without_a_value_have_their_own_mark() -> None:
    svg = draw_trials(TRIALS, metric="accuracy", percent=True)

    assert "ended without a value" in svg
    assert "ended without a value" not in draw_trials(TRIALS[:1], metric="accuracy", percent=True)


def test_candidates_are_named_and_escaped() -> None:
    svg = draw_points(None)

    texts = [node.text for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"dense", "small", "<odd>"} <= set(texts)


def test_the_budget_is_a_dashed_line() -> None:
    assert draw_points(0.93).count('stroke-dasharray="6,4"') == 1
    assert draw_points(None).count('stroke-dasharray="6,4"') == 0


def test_axes_read_as_percent_only_for_fractions() -> None:
    assert "95%" in draw_trials(TRIALS, metric="accuracy", percent=True)
    assert "%" not in draw_trials(TRIALS, metric="error", percent=False)


def test_names_of_equal_candidates_do_not_overlap() -> None:
    points = [
        CandidatePoint(f"pruned-int{n}", 1.0, 0.95, "candidate", on_front=False) for n in range(4)
    ]

    svg = draw_candidates(points, cost="size (MiB)", metric="accuracy", percent=True, limit=0.9)

    heights = [
        float(match) for match in re.findall(r"translate\([\d.]+,([\d.-]+)\)[^>]*>pruned-int", svg)
    ]
    gaps = [b - a for a, b in itertools.pairwise(sorted(heights))]
    assert len(heights) == 4
    assert min(gaps) >= 12


@pytest.mark.parametrize(("count", "labels"), [(2, ["0", "1"]), (5, ["0", "1", "2", "3", "4"])])
def test_trials_are_numbered_once(count: int, labels: list[str]) -> None:
    svg = draw_trials(
        [TrialPoint(number, 0.5, 0.5) for number in range(count)], metric="f1", percent=False
    )

    texts = [node.text for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    start = texts.index("0")
    assert texts[start : start + count] == labels
