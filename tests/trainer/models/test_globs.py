"""Patterns find layers by the names that users know, and a pattern in vain is an error."""

from collections import OrderedDict

import pytest
from torch import nn

from trimtab_trainer.errors import UserError
from trimtab_trainer.models.globs import match_layers


def make_wrapped() -> nn.Module:
    """Return a network under the name that the image input gives it."""
    layers = {
        "conv1": nn.Conv2d(1, 4, 3),
        "bn1": nn.BatchNorm2d(4),
        "conv2": nn.Conv2d(4, 4, 3),
        "bn2": nn.BatchNorm2d(4),
        "fc": nn.Linear(4, 2),
    }
    return nn.Sequential(OrderedDict(network=nn.Sequential(OrderedDict(layers))))


def match(*patterns: str) -> frozenset[str]:
    return match_layers(make_wrapped(), patterns, field="prune.ignoreLayers")


@pytest.mark.parametrize("pattern", ["conv1", "network.conv1", "c*1", "[c]onv1"])
def test_pattern_matches_with_and_without_the_wrapper_prefix(pattern: str) -> None:
    assert match(pattern) == {"network.conv1"}


def test_pattern_that_matches_a_container_takes_all_inside_it() -> None:
    assert match("network") >= {"network", "network.conv2"}


def test_patterns_add_up() -> None:
    matched = match("bn?", "fc")
    assert matched == {"network.bn1", "network.bn2", "network.fc"}


def test_f66_pattern_that_matches_nothing_is_a_user_error_with_near_names() -> None:
    with pytest.raises(
        UserError, match=r"prune.ignoreLayers: 'covn1' matches no layer.*near names: conv1"
    ):
        match("conv2", "covn1")


def test_near_names_leave_the_wrapper_out() -> None:
    with pytest.raises(UserError) as raised:
        match("netwrok")

    assert "network" not in str(raised.value).partition("near names")[2]
