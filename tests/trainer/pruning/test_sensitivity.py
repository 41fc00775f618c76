"""Curves hold what pruning one layer alone costs, and prices follow from them."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.groups import ChannelGroup, GroupKind, Member
from trimtab_trainer.pruning.prunable import PrunableLayer
from trimtab_trainer.pruning.sensitivity import (
    CurvePoint,
    LayerCurve,
    Reading,
    Segment,
    find_segments,
    scan_sensitivity,
)
from trimtab_trainer.pruning.structures import StructuredModel


def make_points(losses: Mapping[float, float]) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(ratio, 0.0, loss) for ratio, loss in losses.items())


def make_chain(settings: PruneSettings) -> StructuredModel:
    """Return two hidden layers of which the output reads the first four units of the second."""
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 8), nn.Linear(8, 1))
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, float(name.endswith("weight")))
    network.get_parameter("2.weight").data[:, 4:] = 0
    groups = tuple(
        ChannelGroup(
            root,
            GroupKind.NEURONS,
            width,
            tuple(
                Member(tensor, dimension, tuple(range(width)), tuple(range(width)))
                for tensor, dimension in sides
            ),
            producers=(root,),
        )
        for root, width, sides in [
            ("0", 4, [("0.weight", 0), ("0.bias", 0), ("1.weight", 1)]),
            ("1", 8, [("1.weight", 0), ("1.bias", 0), ("2.weight", 1)]),
        ]
    )
    layers = tuple(
        PrunableLayer(group.root, Granularity.NEURONS, group.width, None, 0.8, 1)
        for group in groups
    )
    return StructuredModel(network, layers, (), groups, settings)


SCORES = {"0": torch.arange(4.0), "1": torch.arange(8.0).flip(0)}


def read_output(model: nn.Module) -> Reading:
    missing = 16 - model(torch.ones(1, 4)).item() / 4
    return Reading(drop=7 + missing, loss=missing**2)


def test_each_layer_is_cut_alone_lowest_scores_first(settings: PruneSettings) -> None:
    scanned = list(
        scan_sensitivity(make_chain(settings), (0.25, 0.5, 0.75), scores=SCORES, probe=read_output)
    )

    assert [(event.done, event.total) for event in scanned] == [(1, 2), (2, 2)]
    assert [event.curve for event in scanned] == [
        LayerCurve("0", Granularity.NEURONS, (
            CurvePoint(0.25, 4.0, 16.0), CurvePoint(0.5, 8.0, 64.0), CurvePoint(0.75, 12.0, 144.0)
        )),
        LayerCurve("1", Granularity.NEURONS, (
            CurvePoint(0.25, 0.0, 0.0), CurvePoint(0.5, 0.0, 0.0), CurvePoint(0.75, 8.0, 64.0)
        )),
    ]  # fmt: skip


def test_scan_leaves_the_model_as_it_is_and_can_be_ended_early(settings: PruneSettings) -> None:
    chain, probed = make_chain(settings), []
    before = {name: tensor.clone() for name, tensor in chain.model.state_dict().items()}

    def probe(model: nn.Module) -> Reading:
        probed.append(model)
        return read_output(model)

    scan = scan_sensitivity(chain, (0.5,), scores=SCORES, probe=probe)
    next(scan)
    scan.close()

    assert len(probed) == 2  # The dense model and one trial.
    torch.testing.assert_close(dict(chain.model.state_dict()), before, rtol=0, atol=0)


def test_shares_that_round_to_the_same_number_or_to_none_are_tried_once(
    settings: PruneSettings,
) -> None:
    ratios = (0.01, 0.3, 0.31, 0.99)
    scanned = next(scan_sensitivity(make_chain(settings), ratios, scores=SCORES, probe=read_output))

    assert [point.ratio for point in scanned.curve.points] == [0.25, 0.75]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_trial_whose_loss_is_no_number_is_as_bad_as_can_be(
    settings: PruneSettings, loss: float
) -> None:
    readings = iter([Reading(0, 1), Reading(0.1, loss), Reading(0, 1)])
    scanned = next(
        scan_sensitivity(
            make_chain(settings), (0.5,), scores=SCORES, probe=lambda _: next(readings)
        )
    )

    assert scanned.curve.points == (CurvePoint(0.5, 0.1, 1e6),)


@pytest.mark.parametrize(
    ("losses", "most", "expected"),
    [
        ({0.25: 1, 0.5: 3}, 0.5, [(0, 0.25, 1), (0.25, 0.5, 2)]),
        ({0.25: 3, 0.5: 4}, 0.5, [(0, 0.5, 4)]),  # the second quarter is cheaper: one price
        ({0.25: -1, 0.5: 2}, 0.5, [(0, 0.25, 0), (0.25, 0.5, 2)]),  # a gain is no credit
        ({0.25: 2, 0.5: 1}, 0.5, [(0, 0.5, 2)]),  # less cut cannot cost more
        ({0.25: 1, 0.5: 3}, 0.75, [(0, 0.25, 1), (0.25, 0.75, 4)]),  # goes on as it ends
        ({0.25: 1, 0.5: 3}, 0.375, [(0, 0.25, 1), (0.25, 0.375, 1)]),
        ({0.5: 2}, 0.25, [(0, 0.25, 1)]),
        ({}, 0.5, []),
    ],
)
def test_segments_are_the_lower_convex_hull(
    losses: Mapping[float, float], most: float, expected: list[tuple[float, float, float]]
) -> None:
    assert find_segments(make_points(losses), most) == tuple(Segment(*part) for part in expected)


@given(
    losses=st.lists(st.floats(-2, 10), min_size=1, max_size=4),
    most=st.floats(0.05, 0.95),
)
def test_segments_join_and_grow_steeper(losses: list[float], most: float) -> None:
    segments = find_segments(
        make_points({0.2 * (index + 1): loss for index, loss in enumerate(losses)}), most
    )

    assert (segments[0].start, segments[-1].end) == (0, most)
    assert all(left.end == right.start for left, right in pairwise(segments))
    slopes = [segment.loss / (segment.end - segment.start) for segment in segments]
    assert all(right >= left - 1e-6 for left, right in pairwise(slopes))
    assert slopes[0] >= 0
