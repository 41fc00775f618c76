"""Self-attention with any number of heads: what torch's multi-head attention becomes when cut.

Made by `layers` when heads or the width around them are cut; `dependency` asks which attention
modules it can follow. Torch's own module refuses to run when heads times their width is not the
width of its inputs.
"""

from typing import TypeGuard

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

__all__ = ["NarrowAttention", "is_self_attention"]


class NarrowAttention(nn.Module):
    """Computes what `nn.MultiheadAttention` does to one batch of sequences without masks.

    Its tensors have the same names: `in_proj_weight` (3 * heads * head_dim, width) gives queries,
    keys and values, `out_proj.weight` (width, heads * head_dim) reads the heads.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        """Take over the tensors of a module for which `is_self_attention` holds."""
        super().__init__()
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj
        self.num_heads = attention.num_heads
        self.head_dim = attention.head_dim
        self.dropout = attention.dropout
        self.batch_first = attention.batch_first
        # Torch's encoder layers read this; if it were true, they would compute heads on their own.
        self._qkv_same_embed_dim = False
        self.train(attention.training)

    @override
    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: object
    ) -> tuple[torch.Tensor, None]:
        """Attend within a batch of sequences.

        Args:
            query: shape (N, L, width), or (L, N, width) unless `batch_first`.
            key: the same tensor.
            value: the same tensor.
            options: those of `nn.MultiheadAttention` by keyword. Weights are never returned.

        Returns:
            The shape of the query, and None in place of the weights.

        Raises:
            NotImplementedError: something else than self-attention without masks is asked for.
        """
        masks = [options.get(name) for name in ("key_padding_mask", "attn_mask", "is_causal")]
        is_masked = any(mask is not None and mask is not False for mask in masks)
        if is_masked or not query is key is value:
            raise NotImplementedError(
                "attention with fewer heads takes one sequence as query, key and value, "
                "and no masks"
            )
        sequences = query if self.batch_first else query.transpose(0, 1)
        attended = self.out_proj(self._attend(sequences))
        return (attended if self.batch_first else attended.transpose(0, 1)), None

    def _attend(self, sequences: torch.Tensor) -> torch.Tensor:
        samples, length, _ = sequences.shape
        packed = functional.linear(sequences, self.in_proj_weight, self.in_proj_bias)
        heads = packed.reshape(samples, length, 3, self.num_heads, self.head_dim)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=self.dropout if self.training else 0.0
        )
        return attended.transpose(1, 2).reshape(samples, length, self.num_heads * self.head_dim)


def is_self_attention(module: nn.Module) -> TypeGuard[nn.MultiheadAttention]:
    """Tell whether torch's attention can be replaced if it gets one sequence and no masks.

    Keys and values of their own widths, and those that are added to every sequence: False.
    """
    return (
        type(module) is nn.MultiheadAttention
        and module.embed_dim == module.kdim == module.vdim
        and module.bias_k is None
        and not module.add_zero_attn
    )
