"""Cuts rebuild a pruned model from a dense one, also after a trip through text."""

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.pruning.cuts import Cut, merge_cuts, parse_cuts, render_cuts, replay_cuts
from trimtab_trainer.pruning.cutter import plan_cuts, shrink_groups
from trimtab_trainer.pruning.groups import ChannelGroup

FindGroups = Callable[[str], tuple[ChannelGroup, ...]]


def score_evenly(groups: tuple[ChannelGroup, ...]) -> Mapping[str, torch.Tensor]:
    """Score so that every second unit of a group goes first."""
    return {group.root: torch.arange(group.width) % 2 for group in groups}


def test_replayed_fresh_model_loads_the_weights_of_the_pruned_one(
    make_network: Callable[[str], nn.Module],
    find_network_groups: FindGroups,
    network_name: str,
    example: torch.Tensor,
) -> None:
    pruned, groups = make_network(network_name).eval(), find_network_groups(network_name)
    widths = {group.root: group.width // 2 for group in groups}
    cuts = plan_cuts(pruned, groups, widths, score_evenly(groups))
    replay_cuts(pruned, cuts)
    for parameter in pruned.parameters():
        parameter.data.mul_(1.1)

    rebuilt = make_network(network_name).eval()
    replay_cuts(rebuilt, parse_cuts(render_cuts(cuts)))
    rebuilt.load_state_dict(pruned.state_dict())

    torch.testing.assert_close(rebuilt(example), pruned(example), rtol=0, atol=0)
    assert repr(rebuilt) == repr(pruned)


@pytest.mark.parametrize("name", ["concat", "grouped", "attention"])
def test_merged_cuts_equal_the_cuts_one_after_the_other(
    make_network: Callable[[str], nn.Module], find_network_groups: FindGroups, name: str
) -> None:
    dense, groups = make_network(name), find_network_groups(name)
    stepwise = copy.deepcopy(dense)
    widths = {group.root: group.width - 1 for group in groups}
    first = plan_cuts(stepwise, groups, widths, score_evenly(groups))
    replay_cuts(stepwise, first)
    left = shrink_groups(groups, first)
    then = plan_cuts(
        stepwise, left, {root: width // 2 for root, width in widths.items()}, score_evenly(left)
    )
    replay_cuts(stepwise, then)

    replay_cuts(dense, merge_cuts(first, then))

    torch.testing.assert_close(dense.state_dict(), stepwise.state_dict(), rtol=0, atol=0)
    assert repr(dense) == repr(stepwise)


def test_text_holds_positions_once_and_as_runs() -> None:
    kept = (0, 1, 2, 5, 7, 8)
    cuts = (Cut("conv.weight", 0, kept), Cut("conv.bias", 0, kept), Cut("fc.weight", 1, (3,)))

    text = render_cuts(cuts)

    assert text == '{"0-2,5,7-8":[["conv.weight",0],["conv.bias",0]],"3":[["fc.weight",1]]}'
    assert parse_cuts(text) == cuts


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"0": 1}',
        '{"0": [["0.weight"]]}',
        '{"0": [["0.weight", -1]]}',
        '{"0": [["0.weight", "first"]]}',
        '{"": [["0.weight", 0]]}',
        '{"1,0": [["0.weight", 0]]}',
        '{"3-1": [["0.weight", 0]]}',
        '{"-1": [["0.weight", 0]]}',
        '{"0-2,2": [["0.weight", 0]]}',
    ],
)
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(CheckpointRefusedError, match="cuts of a pruned model cannot be read"):
        parse_cuts(text)


@pytest.mark.parametrize(
    ("cut", "text"),
    [
        (Cut("conv9.weight", 0, (0,)), "dimension 0 of 'conv9.weight'"),
        (Cut("0.scale", 0, (0,)), r"dimension 0 of '0\.scale'"),
        (Cut("0.weight", 4, (0,)), r"dimension 4 of '0\.weight'"),
        (Cut("0.weight", 0, (3, 16)), r"position 16 of dimension 0 of '0\.weight', which has 16"),
    ],
)
def test_cut_of_what_the_model_lacks_is_refused_before_any_is_made(
    make_network: Callable[[str], nn.Module], cut: Cut, text: str
) -> None:
    network = make_network("plain")
    before = repr(network)

    with pytest.raises(CheckpointRefusedError, match=text):
        replay_cuts(network, [Cut("0.weight", 1, (0,)), Cut("3.weight", 0, (0,)), cut])

    assert repr(network) == before
