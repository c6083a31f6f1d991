"""Attention over a sequence behind an always-visible latent prefix: the reference."""

import torch
from torch import Tensor
from torch.nn import functional as F


def prefix_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor | None = None,
    prefix_value: Tensor | None = None,
    *,
    causal: bool = True,
    lengths: Tensor | None = None,
) -> Tensor:
    """Softmax attention of every step over the prefix and the (earlier) steps.

    Args:
        query: shape [B, heads, T, D]; the last T of the S steps in `key` when S > T.
        key: shape [B, heads, S, D].
        value: shape [B, heads, S, D].
        prefix_key: shape [B, heads, P, D], seen by every step, or None.
        prefix_value: shape [B, heads, P, D], or None.
        causal: whether step t sees only steps <= t (and the prefix).
        lengths: valid steps of each row of `key`, shape [B]; None means all. With `causal` and
            right padding it is not needed: padded steps are seen by padded steps alone.

    Returns:
        shape [B, heads, T, D].
    """
    steps, total = query.shape[2], key.shape[2]
    prefix = 0
    if prefix_key is not None and prefix_value is not None:
        prefix = prefix_key.shape[2]
        key = torch.cat([prefix_key, key], 2)
        value = torch.cat([prefix_value, value], 2)
    elif lengths is None and causal and steps == total:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    mask: Tensor | None = None
    column = torch.arange(total, device=query.device)
    if causal and steps > 1:
        row = torch.arange(total - steps, total, device=query.device)
        mask = (column[None, :] <= row[:, None])[None, None]
    if lengths is not None:
        valid = (column[None, :] < lengths[:, None])[:, None, None, :]
        mask = valid if mask is None else mask & valid
    if mask is not None and prefix:
        mask = F.pad(mask, (prefix, 0), value=True)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
