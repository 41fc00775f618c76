"""Charts are inline SVG in the colours of the page, with every point that they were given."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from trimtab_api.reports import ChoiceOutcome
from trimtab_trainer.reporting.charts.budget import BudgetBar, BudgetTone, draw_budget
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
from trimtab_trainer.reporting.charts.sensitivity import LayerPlot, draw_layer
from trimtab_trainer.reporting.charts.space import (
    FrontPoint,
    ParallelLine,
    SlicePoint,
    Tone,
    draw_front,
    draw_parallel,
    draw_slice,
)
from trimtab_trainer.reporting.charts.targets import CandidatePoint, draw_candidates
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
    CandidatePoint("dense", 1.0, 0.95, ChoiceOutcome.FEASIBLE, on_front=True),
    CandidatePoint("small", 0.4, 0.94, ChoiceOutcome.SHIPS, on_front=True),
    CandidatePoint("<odd>", 0.9, 0.93, ChoiceOutcome.REJECTED, on_front=False),
]
AXES = [
    Axis("rate", (Tick(0.0, "1e-4"), Tick(1.0, "0.1"))),
    Axis("kind", (Tick(0.25, "<a>"), Tick(0.75, 'b"\\'))),
]
SPANS = [
    Span(0, 0, 0.0, 0.0, 60.0, TrialMark.TRIAL),
    Span(1, 1, 0.0, 0.0, 100.0, TrialMark.FAILED),
    Span(2, 0, 100.0, 100.0, 199.0, TrialMark.STOPPED),
    Span(3, 1, 100.0, 100.0, 100.5, TrialMark.TRIAL),
]
STARTS = [RunStart("attempt 1", 0.0), RunStart("attempt 2", 100.0)]
BARS = [
    BudgetBar("allowed", 0.0, 1.0, "1.00 points", BudgetTone.ALLOWED),
    BudgetBar("prune", 0.0, -0.2, "0.20 gained", BudgetTone.GAINED),
    BudgetBar("left", -0.2, 1.0, "1.20 points", BudgetTone.LEFT),
]
PLOT = LayerPlot("conv1", "conv1", ((0.0, 0.0), (0.5, 9.0)), 0.25, 4.5, "cut by 25 %: 4.50 points")
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
            limits=ValueRange(0.9, 0.9),
        ),
        slice_of(0.9, 0.95),
        draw_curves(
            [Curve(0, ((1, 0.9), (2, 0.92)), TrialMark.STOPPED, is_best=False)],
            metric="accuracy",
            style=PERCENT,
            limits=LIMITS,
        ),
        draw_budget(BARS, title="drop (points)", sample=0.4),
        draw_layer(PLOT, domain=(0, 9)),
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
        "budget",
        "layer",
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

    assert "95 %" in texts
    assert "20 %" not in texts


def heights_of(svg: str, shape: str) -> list[float]:
    """Return the heights of marks whose path begins so, from the top."""
    found = re.findall(r'translate\([\d.-]+,([\d.-]+)\)" d="' + shape, svg)
    return [float(height) for height in found]


def test_a_trial_worse_than_the_axis_stands_apart_from_every_other() -> None:
    svg = draw_trials([*TRIALS[:1], *TRIALS[2:]])

    assert "below 90 %" in read_texts(svg)
    # A hollow triangle below two circles of which one lies on the axis' lower end.
    (poor,) = heights_of(svg, "M0,3")
    assert poor > max(heights_of(svg, "M3.87")) + 10
    assert re.search(r'd="M0,3[^"]*" stroke=', svg)


def test_a_strip_tells_what_stands_in_it() -> None:
    assert "no value" in read_texts(draw_trials(TRIALS[:3]))
    assert ">below 90 %<" in draw_trials(TRIALS)
    assert ">or no value<" in draw_trials(TRIALS)
    falling = draw_history(
        TRIALS[::2], metric="loss", style=PLAIN, limits=ValueRange(best=0.9, worst=0.92)
    )
    assert "above 0.92" in read_texts(falling)
    assert "below 90 %" not in read_texts(draw_trials(TRIALS[:1]))


def test_a_slice_sets_poor_trials_apart() -> None:
    assert "below 90 %" in read_texts(slice_of(0.95, 0.2))
    assert "below 90 %" not in read_texts(slice_of(0.95, 0.91))


def test_a_poor_trial_is_seen_where_all_others_are_equal() -> None:
    equal = ValueRange(best=0.9, worst=0.9)
    svg = draw_history(TRIALS[::3], metric="accuracy", style=PERCENT, limits=equal)

    assert any(text.startswith("below 89") for text in read_texts(svg))


def test_candidates_are_named_and_escaped() -> None:
    assert {"dense", "small", "<odd>"} <= set(read_texts(draw_points(None)))


def test_the_budget_is_a_dashed_line() -> None:
    assert draw_points(0.93).count('stroke-dasharray="6,4"') == 1
    assert draw_points(None).count('stroke-dasharray="6,4"') == 0


def test_axes_read_as_percent_only_for_fractions() -> None:
    assert "95 %" in draw_trials(TRIALS)
    assert "%" not in draw_trials(TRIALS, PLAIN)


def test_names_of_equal_candidates_do_not_overlap() -> None:
    points = [
        CandidatePoint(f"pruned-int{n}", 1.0, 0.95, ChoiceOutcome.FEASIBLE, on_front=False)
        for n in range(4)
    ]

    svg = draw_candidates(points, cost="size (MiB)", metric="accuracy", style=PERCENT, limit=0.9)

    heights = [
        float(match) for match in re.findall(r"translate\([\d.]+,([\d.-]+)\)[^>]*>pruned-int", svg)
    ]
    gaps = [b - a for a, b in itertools.pairwise(sorted(heights))]
    assert len(heights) == 4
    assert min(gaps) >= 12


def test_names_stay_out_of_the_legend_and_lead_to_their_points() -> None:
    points = [
        CandidatePoint(f"dense-int{n}", 1 + n / 50, 0.95, ChoiceOutcome.FEASIBLE, on_front=False)
        for n in range(5)
    ]

    svg = draw_candidates(points, cost="size (MiB)", metric="accuracy", style=PERCENT, limit=0.9)

    heights = re.findall(r"translate\([\d.]+,([\d.-]+)\)[^>]*>dense-int", svg)
    middle = heights_of(svg, "M5.2")[0]
    assert len(heights) == 5
    assert min(map(float, heights)) >= middle - 8
    assert svg.count("mark-rule") >= 3


def test_a_name_does_not_cover_the_point_of_another() -> None:
    points = [
        CandidatePoint("pruned-int8", 0.5, 0.95, ChoiceOutcome.SHIPS, on_front=True),
        # Where the name would stand first.
        CandidatePoint("dense-int8", 0.6, 0.951, ChoiceOutcome.FEASIBLE, on_front=False),
        CandidatePoint("dense", 1.0, 0.94, ChoiceOutcome.FEASIBLE, on_front=False),
    ]

    svg = draw_candidates(points, cost="size (MiB)", metric="accuracy", style=PERCENT, limit=None)

    name = re.search(r"translate\(([\d.]+),([\d.-]+)\)[^>]*>pruned-int8", svg)
    assert name is not None
    left, middle = float(name[1]), float(name[2])
    circles = re.findall(r'translate\(([\d.]+),([\d.-]+)\)" d="M5.2', svg)
    assert len(circles) == 3
    covered = [
        (x, y) for x, y in circles if left < float(x) < left + 80 and abs(float(y) - middle) < 10
    ]
    assert covered == []


@pytest.mark.parametrize("values", [(0.9926, 0.9963), (0.9963, 0.9963), (0.81, 0.89), (1.0, 2.6)])
def test_an_axis_of_objectives_has_two_ticks_at_least(values: tuple[float, float]) -> None:
    points = [FrontPoint(53362.0, value, TrialMark.TRIAL, on_front=True) for value in values]

    texts = read_texts(
        draw_front(
            points,
            470,
            x=("params", NumberStyle.COUNT),
            y=("accuracy", PERCENT),
            limits=ValueRange(max(values), min(values)),
        )
    )

    assert len({text for text in texts if text.endswith("%")}) >= 2
    assert len({text for text in texts if text.endswith("k")}) >= 2


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


def test_what_is_no_epoch_is_lighter() -> None:
    spans = [Span(0, 0, 0.0, 30.0, 60.0, TrialMark.TRIAL)]

    svg = draw_timeline(spans, STARTS[:1], slots=1)

    assert svg.count('opacity="0.35"') == svg.count('opacity="0.9"') == 1


def test_many_lanes_have_no_numbers() -> None:
    spans = [Span(1000 + slot, slot, 0.0, 0.0, 10.0, TrialMark.TRIAL) for slot in range(60)]

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
        draw_front(
            points,
            470,
            x=("params", NumberStyle.COUNT),
            y=("accuracy", PERCENT),
            limits=ValueRange(0.9, 0.85),
        )
    )

    assert "below 85 %" in texts
    assert "no trial is better in both" in texts
    assert any(text.endswith("k") for text in texts)


def test_the_budget_has_a_bar_and_a_text_for_each_part_and_a_line_per_sample() -> None:
    svg = draw_budget(BARS, title="drop (points)", sample=0.0)

    assert {"allowed", "prune", "left", "1.00 points", "0.20 gained"} <= set(read_texts(svg))
    assert svg.count('stroke-dasharray="6,4"') == 1
    lines = draw_budget(BARS, title="drop (points)", sample=0.5).count("<line")
    # From -0.2 to 1 there are 0, 0.5 and 1.
    assert lines == svg.count("<line") + 3


def test_a_budget_of_nothing_can_be_drawn() -> None:
    bars = [BudgetBar("allowed", 0.0, 0.0, "0.00 points", BudgetTone.ALLOWED)]

    assert "0.00 points" in read_texts(draw_budget(bars, title="drop", sample=0.0))
