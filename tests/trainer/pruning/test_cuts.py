"""Cuts rebuild a pruned model from a dense one, also after a trip through text."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.pruning.cuts import Cut, merge_cuts, parse_cuts, render_cuts, replay_cuts
from trimtab_trainer.pruning.cutter import PruneSettings, cut_to, find_cuttable_groups, plan_widths
from trimtab_trainer.pruning.layers import Direction


def cut_by(
    network: nn.Module, ratio: float, example: torch.Tensor, settings: PruneSettings
) -> tuple[Cut, ...]:
    widths = plan_widths(find_cuttable_groups(network, example, settings), ratio, settings)
    return cut_to(network, example=example, widths=widths, settings=settings)


def test_replayed_fresh_model_loads_the_weights_of_the_pruned_one(
    make_network: Callable[[str], nn.Module],
    network_name: str,
    example: torch.Tensor,
    settings: PruneSettings,
) -> None:
    pruned = make_network(network_name).eval()
    text = render_cuts(cut_by(pruned, 0.5, example, settings))
    for parameter in pruned.parameters():
        parameter.data.mul_(1.1)

    rebuilt = make_network(network_name).eval()
    replay_cuts(rebuilt, parse_cuts(text))
    rebuilt.load_state_dict(pruned.state_dict())

    torch.testing.assert_close(rebuilt(example), pruned(example), rtol=0, atol=0)
    assert repr(rebuilt) == repr(pruned)


def test_merged_cuts_equal_the_cuts_one_after_the_other(
    make_network: Callable[[str], nn.Module], example: torch.Tensor, settings: PruneSettings
) -> None:
    dense = make_network("concat")
    stepwise = copy.deepcopy(dense)
    first = cut_by(stepwise, 0.25, example, settings)
    then = cut_by(stepwise, 0.5, example, settings)

    replay_cuts(dense, merge_cuts(first, then))

    torch.testing.assert_close(dense.state_dict(), stepwise.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '[{"layer": "0", "direction": "output"}]',
        '[{"layer": "0", "direction": "sideways", "kept": [0]}]',
        '[{"layer": "0", "direction": "output", "kept": []}]',
        '[{"layer": "0", "direction": "output", "kept": [1, 0]}]',
        '[{"layer": "0", "direction": "output", "kept": [-1]}]',
    ],
)
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(CheckpointRefusedError, match="cuts of a pruned model cannot be read"):
        parse_cuts(text)


def test_cut_of_a_layer_that_the_model_lacks_is_refused(
    make_network: Callable[[str], nn.Module],
) -> None:
    with pytest.raises(CheckpointRefusedError, match="'conv9'"):
        replay_cuts(make_network("plain"), [Cut("conv9", Direction.OUTPUT, (0,))])


def test_cut_beyond_the_width_of_a_layer_is_refused(
    make_network: Callable[[str], nn.Module],
) -> None:
    with pytest.raises(CheckpointRefusedError, match=r"channel 16 at the output of '0'.*has 16"):
        replay_cuts(make_network("plain"), [Cut("0", Direction.OUTPUT, (3, 16))])
