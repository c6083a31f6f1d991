"""Attention over a sequence behind an always-visible latent prefix: the definition, in differentiable torch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the last axis by half-split pairs (Su et al. 2021, arXiv 2104.09864, eq. 34).

    Args:
        x: shape [B, heads, T, D].
        cosine: shape [T, D / 2].
        sine: shape [T, D / 2].
    """
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def rotated(query: Tensor, key: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate queries and keys by their positions: step s of `key` has position s, the last query the last."""
    total = key.shape[2]
    start = total - query.shape[2]
    query = rotate(query, cosine[start:total], sine[start:total])
    return query, rotate(key, cosine[:total], sine[:total])


def visible(
    steps: int, total: int, prefix: int, causal: bool, lengths: Tensor | None, device: torch.device
) -> Tensor | None:
    """What each step sees of prefix and sequence, [1 or B, 1, 1 or T, P + S]; None for everything."""
    mask: Tensor | None = None
    column = torch.arange(total, device=device)
    if causal and steps > 1:
        row = torch.arange(total - steps, total, device=device)
        mask = (column[None, :] <= row[:, None])[None, None]
    if lengths is not None:
        valid = (column[None, :] < lengths[:, None])[:, None, None, :]
        mask = valid if mask is None else mask & valid
    return F.pad(mask, (prefix, 0), value=True) if mask is not None and prefix else mask


def attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor | None = None,
    prefix_value: Tensor | None = None,
    *,
    causal: bool = True,
    lengths: Tensor | None = None,
    rotary: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """What `prefix_attention` computes, by torch's attention; arguments as there."""
    if rotary is not None:
        query, key = rotated(query, key, *rotary)
    steps, total = query.shape[2], key.shape[2]
    prefix = 0
    if prefix_key is not None and prefix_value is not None:
        prefix = prefix_key.shape[2]
        key = torch.cat([prefix_key, key], 2)
        value = torch.cat([prefix_value, value], 2)
    elif lengths is None and causal and steps == total:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    mask = visible(steps, total, prefix, causal, lengths, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def weights_reference(
    query: Tensor, key: Tensor, prefix: int, causal: bool, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The softmax itself and the log of its denominators, float32 at least.

    Args:
        query: shape [B, heads, T, D], rotated.
        key: shape [B, heads, P + S, D]: prefix and sequence.
        prefix: P.
        causal: as for `prefix_attention`.
        lengths: as for `prefix_attention`.

    Returns:
        weights: [B, heads, T, P + S], 0 in a row that sees nothing.
        logsumexp: [B, heads, T], minus infinity there.
    """
    precision = torch.promote_types(query.dtype, torch.float32)
    score = query.to(precision) @ key.to(precision).transpose(2, 3) * query.shape[3] ** -0.5
    mask = visible(query.shape[2], key.shape[2] - prefix, prefix, causal, lengths, query.device)
    if mask is not None:
        score = score.masked_fill(~mask, float("-inf"))
    logsumexp = score.logsumexp(3)
    level = logsumexp.masked_fill(torch.isneginf(logsumexp), 0.0)
    return (score - level[..., None]).exp(), logsumexp


def gradients_reference(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor | None,
    prefix_value: Tensor | None,
    causal: bool,
    lengths: Tensor | None,
    rotary: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key, value and both prefixes for the output's gradient, by the formula of the kernels.

    Dao et al. 2022, arXiv 2205.14135, appendix B.2; float32 at least. Without a prefix its gradients have no rows.
    """
    precision = torch.promote_types(query.dtype, torch.float32)
    if rotary is not None:
        query, key = rotated(query, key, *rotary)
    prefix = 0 if prefix_key is None else prefix_key.shape[2]
    if prefix_key is not None and prefix_value is not None:
        key, value = torch.cat([prefix_key, key], 2), torch.cat([prefix_value, value], 2)
    weights, _ = weights_reference(query, key, prefix, causal, lengths)
    query, key, value, grad = (x.to(precision) for x in (query, key, value, grad))
    d_value = weights.transpose(2, 3) @ grad
    d_weights = grad @ value.transpose(2, 3)
    d_score = weights * (d_weights - (weights * d_weights).sum(3, keepdim=True))
    d_score = d_score * query.shape[3] ** -0.5
    d_query, d_key = d_score @ key, d_score.transpose(2, 3) @ query
    d_prefix_key, d_key = d_key[:, :, :prefix], d_key[:, :, prefix:]
    d_prefix_value, d_value = d_value[:, :, :prefix], d_value[:, :, prefix:]
    if rotary is not None:
        # By the opposite angles.
        d_query, d_key = rotated(d_query, d_key, rotary[0], -rotary[1])
    return d_query, d_key, d_value, d_prefix_key, d_prefix_value
