"""Charts are inline SVG in the colours of the page, with every point that they were given."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from trimtab_trainer.reporting.charts.canvas import (
    Axis,
    NumberStyle,
    Tick,
    TrialMark,
    ValueRange,
)
from trimtab_trainer.reporting.charts.history import (
    Curve,
    RunStart,
    Span,
    TrialPoint,
    draw_curves,
    draw_history,
    draw_timeline,
)
from trimtab_trainer.reporting.charts.space import (
    FrontPoint,
    ParallelLine,
    SlicePoint,
    Tone,
    draw_front,
    draw_parallel,
    draw_slice,
)
from trimtab_trainer.reporting.charts.targets import (
    CandidatePoint,
    CandidateRole,
    draw_candidates,
)
from trimtab_trainer.reporting.charts.training import ScalePoint, draw_epochs, draw_loss_scale

PERCENT, PLAIN = NumberStyle.PERCENT, NumberStyle.PLAIN
LIMITS = ValueRange(best=0.95, worst=0.9)
TRIALS = [
    TrialPoint(0, 0.9, 0.9),
    TrialPoint(1, None, 0.9, TrialMark.FAILED),
    TrialPoint(2, 0.95, 0.95),
    TrialPoint(3, 0.2, 0.95, TrialMark.STOPPED),
]
POINTS = [
    CandidatePoint("dense", 1.0, 0.95, CandidateRole.CANDIDATE, on_front=True),
    CandidatePoint("small", 0.4, 0.94, CandidateRole.SHIPS, on_front=True),
    CandidatePoint("<odd>", 0.9, 0.93, CandidateRole.REJECTED, on_front=False),
]
AXES = [
    Axis("rate", (Tick(0.0, "1e-4"), Tick(1.0, "0.1"))),
    Axis("kind", (Tick(0.25, "<a>"), Tick(0.75, 'b"\\'))),
]
SPANS = [
    Span(0, 0, 0.0, 60.0, TrialMark.TRIAL),
    Span(1, 1, 0.0, 100.0, TrialMark.FAILED),
    Span(2, 0, 100.0, 199.0, TrialMark.STOPPED),
    Span(3, 1, 100.0, 100.5, TrialMark.TRIAL),
]
STARTS = [RunStart("attempt 1", 0.0), RunStart("attempt 2", 100.0)]
SCALES = [
    ScalePoint(1, 65536.0, 0, ""),
    ScalePoint(2, 16384.0, 2, ""),
    ScalePoint(3, None, 0, "fp16 → bf16"),
]


def draw_points(limit: float | None) -> str:
    return draw_candidates(POINTS, cost="size (MiB)", metric="accuracy", style=PERCENT, limit=limit)


def draw_trials(points: list[TrialPoint], style: NumberStyle = PERCENT) -> str:
    return draw_history(points, metric="accuracy", style=style, limits=LIMITS)


def read_texts(svg: str) -> list[str]:
    nodes = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [node.text or "" for node in nodes]


def slice_of(*values: float) -> str:
    points = [
        SlicePoint(index / 10, value, 0.5, TrialMark.TRIAL, is_best=index == 0)
        for index, value in enumerate(values)
    ]
    return draw_slice(points, AXES[1], metric="accuracy", style=PERCENT, limits=LIMITS)


@pytest.mark.parametrize(
    "svg",
    [
        draw_trials(TRIALS),
        draw_history(TRIALS[:1], metric="f1", style=PLAIN, limits=ValueRange(1, 1), earlier=0.8),
        draw_points(0.94),
        draw_epochs({"accuracy": [(1, 0.5), (2, 0.7)]}, label="accuracy", style=PERCENT),
        draw_loss_scale(SCALES),
        draw_timeline(SPANS, STARTS, slots=2),
        draw_parallel(AXES, [ParallelLine(0, (0.5, 0.25), Tone.BEST)]),
        draw_front(
            [FrontPoint(1, 0.9, TrialMark.LIMITED, on_front=False)],
            470,
            x=("params", NumberStyle.COUNT),
            y=("accuracy", PERCENT),
        ),
        slice_of(0.9, 0.95),
        draw_curves(
            [Curve(0, ((1, 0.9), (2, 0.92)), TrialMark.STOPPED, is_best=False)],
            metric="accuracy",
            style=PERCENT,
            limits=LIMITS,
        ),
    ],
    ids=[
        "history",
        "one-trial",
        "candidates",
        "epochs",
        "loss-scale",
        "timeline",
        "parallel",
        "front",
        "slice",
        "curves",
    ],
)
def test_a_chart_is_svg_in_the_colours_of_the_page(svg: str) -> None:
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    colors = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg))
    assert colors <= {"none", "transparent"} | {color for color in colors if color[:4] == "var("}


def test_the_legend_names_the_ends_that_trials_had() -> None:
    all_ends = {"trial", "stopped early", "failed", "best so far"}

    assert all_ends <= set(read_texts(draw_trials(TRIALS)))
    assert all_ends & set(read_texts(draw_trials(TRIALS[:1]))) == {"trial", "best so far"}


def test_the_best_of_an_earlier_job_is_a_line_of_its_own() -> None:
    svg = draw_history(TRIALS, metric="accuracy", style=PERCENT, limits=LIMITS, earlier=0.93)

    assert "best of the earlier job" in read_texts(svg)
    assert svg.count('stroke-dasharray="6,4"') == 1


def test_a_poor_trial_does_not_stretch_the_axis() -> None:
    texts = read_texts(draw_trials(TRIALS))

    assert "95%" in texts
    assert "20%" not in texts


def test_candidates_are_named_and_escaped() -> None:
    assert {"dense", "small", "<odd>"} <= set(read_texts(draw_points(None)))


def test_the_budget_is_a_dashed_line() -> None:
    assert draw_points(0.93).count('stroke-dasharray="6,4"') == 1
    assert draw_points(None).count('stroke-dasharray="6,4"') == 0


def test_axes_read_as_percent_only_for_fractions() -> None:
    assert "95%" in draw_trials(TRIALS)
    assert "%" not in draw_trials(TRIALS, PLAIN)


def test_names_of_equal_candidates_do_not_overlap() -> None:
    points = [
        CandidatePoint(f"pruned-int{n}", 1.0, 0.95, CandidateRole.CANDIDATE, on_front=False)
        for n in range(4)
    ]

    svg = draw_candidates(points, cost="size (MiB)", metric="accuracy", style=PERCENT, limit=0.9)

    heights = [
        float(match) for match in re.findall(r"translate\([\d.]+,([\d.-]+)\)[^>]*>pruned-int", svg)
    ]
    gaps = [b - a for a, b in itertools.pairwise(sorted(heights))]
    assert len(heights) == 4
    assert min(gaps) >= 12


@pytest.mark.parametrize(("count", "labels"), [(2, ["0", "1"]), (5, ["0", "1", "2", "3", "4"])])
def test_trials_are_numbered_once(count: int, labels: list[str]) -> None:
    svg = draw_trials([TrialPoint(number, 0.92, 0.92) for number in range(count)])

    texts = read_texts(svg)
    start = texts.index("0")
    assert texts[start : start + count] == labels


def test_choices_stand_on_the_axis_as_they_are() -> None:
    assert {"<a>", 'b"\\', "kind"} <= set(read_texts(slice_of(0.9, 0.95)))


def test_parallel_axes_have_their_titles_ticks_and_tones() -> None:
    lines = [ParallelLine(0, (0.1, 0.25), Tone.BEST), ParallelLine(1, (0.9, 0.75), Tone.OTHER)]

    texts = read_texts(draw_parallel(AXES, lines))

    assert {"rate", "kind", "1e-4", "0.1", "<a>", "best", "other trials"} <= set(texts)


def test_the_timeline_numbers_bars_with_room_and_divides_starts() -> None:
    texts = read_texts(draw_timeline(SPANS, STARTS, slots=2))

    assert {"attempt 2", "slot", "time (min)", "failed", "stopped early"} <= set(texts)
    assert "attempt 1" not in texts
    # Ticks of lanes and of time are numbers too: number 3 alone belongs to a bar without room.
    assert texts.count("2") == texts.count("3") + 1


def test_many_lanes_have_no_numbers() -> None:
    spans = [Span(1000 + slot, slot, 0.0, 10.0, TrialMark.TRIAL) for slot in range(60)]

    assert "1007" not in read_texts(draw_timeline(spans, STARTS[:1], slots=60))


def test_the_loss_scale_tells_overflows_and_the_fallback() -> None:
    texts = read_texts(draw_loss_scale(SCALES))

    assert {"fp16 → bf16", "65,536", "steps of the epoch skipped"} <= set(texts)
    quiet = [ScalePoint(1, 65536.0, 0, ""), ScalePoint(2, 131072.0, 0, "")]
    assert "steps of the epoch skipped" not in read_texts(draw_loss_scale(quiet))


def test_the_front_is_joined_and_named() -> None:
    points = [
        FrontPoint(1e5, 0.9, TrialMark.TRIAL, on_front=True),
        FrontPoint(2e5, 0.8, TrialMark.TRIAL, on_front=False),
    ]

    texts = read_texts(
        draw_front(points, 470, x=("params", NumberStyle.COUNT), y=("accuracy", PERCENT))
    )

    assert "no trial is better in both" in texts
    assert any(text.endswith("k") for text in texts)
