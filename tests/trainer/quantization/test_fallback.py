"""The fewest layers in float are found with few questions."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from trimtab_trainer.quantization.fallback import find_kept_layers, rank_layers
from trimtab_trainer.quantization.layer_errors import LayerError


def test_layers_that_hurt_most_come_first_and_equal_ones_in_their_order() -> None:
    errors = [LayerError("a", 0.1), LayerError("b", 0.3), LayerError("c", 0.1)]
    assert rank_layers(errors) == ("b", "a", "c")


@given(layers=st.integers(1, 200), needed=st.integers(1, 250))
def test_smallest_prefix_is_found_in_logarithmically_many_questions(
    layers: int, needed: int
) -> None:
    ranking = [f"layer{index}" for index in range(layers)]
    asked: list[int] = []

    def is_good(kept: Sequence[str]) -> bool:
        assert list(kept) == ranking[: len(kept)]
        asked.append(len(kept))
        return len(kept) >= needed

    kept = find_kept_layers(ranking, is_good)
    assert kept == (tuple(ranking[:needed]) if needed < layers else None)
    assert len(asked) <= math.ceil(math.log2(layers))
    assert all(0 < count < layers for count in asked)


def test_a_network_without_layers_has_none_to_keep() -> None:
    assert find_kept_layers([], lambda kept: True) is None
