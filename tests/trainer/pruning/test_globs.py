"""Patterns find layers by the names that users know, and a pattern in vain is an error."""

from collections.abc import Callable

import pytest
from torch import nn

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.globs import match_layers


@pytest.mark.parametrize("pattern", ["conv1", "network.conv1", "c*1", "[c]onv1"])
def test_pattern_matches_with_and_without_the_wrapper_prefix(
    make_network: Callable[[str], nn.Module], pattern: str
) -> None:
    assert match_layers(make_network("residual"), [pattern]) == {"network.conv1"}


def test_pattern_that_matches_a_container_takes_all_inside_it(
    make_network: Callable[[str], nn.Module],
) -> None:
    assert match_layers(make_network("residual"), ["network"]) >= {"network", "network.conv2"}


def test_patterns_add_up(make_network: Callable[[str], nn.Module]) -> None:
    matched = match_layers(make_network("residual"), ["bn?", "fc"])
    assert matched == {"network.bn1", "network.bn2", "network.fc"}


def test_f66_pattern_that_matches_nothing_is_a_user_error_with_near_names(
    make_network: Callable[[str], nn.Module],
) -> None:
    with pytest.raises(UserError, match=r"'covn1' matches no layer.*near names: conv1"):
        match_layers(make_network("residual"), ["conv2", "covn1"])
