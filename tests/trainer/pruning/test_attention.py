"""Attention of any width computes what torch's does, and says what it does not do."""

import copy

import pytest
import torch
from torch import nn

from trimtab_trainer.pruning.attention import NarrowAttention, is_self_attention


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_uncut_attention_is_that_of_torch(batch_first: bool, bias: bool) -> None:
    attention = nn.MultiheadAttention(12, 3, bias=bias, batch_first=batch_first).eval()
    tokens = torch.rand(4, 5, 12)
    expected, _ = attention(tokens, tokens, tokens, need_weights=False)
    state = copy.deepcopy(attention.state_dict())

    narrow = NarrowAttention(attention)
    actual, weights = narrow(tokens, tokens, tokens, need_weights=False)

    torch.testing.assert_close(actual, expected)
    assert weights is None
    assert not narrow.training
    torch.testing.assert_close(narrow.state_dict(), state, rtol=0, atol=0)


def test_dropout_works_in_training_only() -> None:
    narrow = NarrowAttention(nn.MultiheadAttention(8, 2, dropout=0.9, batch_first=True))
    tokens = torch.rand(2, 6, 8)

    assert not torch.equal(narrow(tokens, tokens, tokens)[0], narrow(tokens, tokens, tokens)[0])
    narrow.eval()
    assert torch.equal(narrow(tokens, tokens, tokens)[0], narrow(tokens, tokens, tokens)[0])


@pytest.mark.parametrize("options", [{"attn_mask": torch.zeros(6, 6)}, {"is_causal": True}])
def test_masks_are_refused(options: dict[str, object]) -> None:
    narrow = NarrowAttention(nn.MultiheadAttention(8, 2, batch_first=True))
    tokens = torch.rand(2, 6, 8)

    with pytest.raises(NotImplementedError, match="no masks"):
        narrow(tokens, tokens, tokens, **options)


def test_other_keys_than_queries_are_refused() -> None:
    narrow = NarrowAttention(nn.MultiheadAttention(8, 2, batch_first=True))

    with pytest.raises(NotImplementedError, match="one sequence"):
        narrow(torch.rand(2, 6, 8), torch.rand(2, 6, 8), torch.rand(2, 6, 8))


@pytest.mark.parametrize(
    "attention",
    [
        nn.MultiheadAttention(8, 2, kdim=4),
        nn.MultiheadAttention(8, 2, add_bias_kv=True),
        nn.MultiheadAttention(8, 2, add_zero_attn=True),
        nn.Linear(8, 8),
    ],
    ids=["keys of another width", "extra keys", "zero key", "no attention"],
)
def test_what_does_more_than_self_attention_is_not_taken(attention: nn.Module) -> None:
    assert not is_self_attention(attention)
