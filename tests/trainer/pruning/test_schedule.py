"""Progress grows to its end, and widths stay inside their limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_api.v1alpha1.prune import Curve
from trimtab_trainer.pruning.schedule import plan_progress, plan_width

ratios = st.floats(0, 1)
limits = st.floats(0.01, 0.99)
multiples = st.sampled_from([1, 2, 4, 8, 16, 32, 64])
widths = st.integers(1, 2048)


def test_linear_takes_equal_steps() -> None:
    assert plan_progress(4, Curve.LINEAR) == (0.25, 0.5, 0.75, 1.0)


def test_cubic_takes_large_steps_first() -> None:
    assert plan_progress(4, Curve.CUBIC) == (37 / 64, 56 / 64, 63 / 64, 1.0)


@given(steps=st.integers(1, 20), curve=st.sampled_from(Curve))
def test_progress_grows_to_the_whole_way(steps: int, curve: Curve) -> None:
    planned = plan_progress(steps, curve)

    assert len(planned) == steps
    assert list(planned) == sorted(set(planned))
    assert planned[0] > 0
    assert planned[-1] == 1


@pytest.mark.parametrize(
    ("width", "ratio", "round_to", "expected"),
    [
        (64, 0.5, 1, 32),
        (64, 0.5, 8, 32),
        (64, 0.3, 8, 48),  # 44.8 is nearer to 48
        (64, 0.45, 8, 32),  # 35.2 is nearer to 32
        (64, 0.75, 8, 16),
        (64, 0.99, 8, 16),  # maxLayerRatio holds it: 12.8 and no less
        (5, 0.99, 1, 1),
        (10, 0.1, 8, 8),
        (6, 0.5, 8, 6),  # no multiple of 8 fits
        (10, 0.0, 8, 10),  # nothing shall go
    ],
)
def test_width_is_the_nearest_allowed_multiple(
    width: int, ratio: float, round_to: int, expected: int
) -> None:
    assert plan_width(width, ratio, max_layer_ratio=0.8, round_to=round_to) == expected


@given(width=widths, ratio=ratios, limit=limits, round_to=multiples)
def test_f66_no_layer_falls_below_one_channel_or_the_rounding(
    width: int, ratio: float, limit: float, round_to: int
) -> None:
    kept = plan_width(width, ratio, max_layer_ratio=limit, round_to=round_to)

    assert 1 <= kept <= width
    assert kept == width or (kept >= round_to and kept % round_to == 0)
    assert width - kept <= limit * width + 1e-6


@given(width=widths, pair=st.tuples(ratios, ratios), limit=limits, round_to=multiples)
def test_width_never_grows_with_the_ratio(
    width: int, pair: tuple[float, float], limit: float, round_to: int
) -> None:
    fewer, more = (
        plan_width(width, ratio, max_layer_ratio=limit, round_to=round_to) for ratio in sorted(pair)
    )

    assert fewer >= more
