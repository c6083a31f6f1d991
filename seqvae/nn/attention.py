"""Multi-head self-attention with rotary positions, an optional latent prefix and a cache."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqvae.nn.rotary import Rotary
from seqvae.ops.prefix_attention import prefix_attention


@dataclass
class KeyValueCache:
    """Keys and values of the steps so far: each [B, heads, capacity, D], `length` of them filled."""

    key: Tensor
    value: Tensor
    length: int = 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add steps [B, heads, T, D] and return all keys and values so far."""
        stop = self.length + key.shape[2]
        self.key[:, :, self.length : stop] = key
        self.value[:, :, self.length : stop] = value
        self.length = stop
        return self.key[:, :, :stop], self.value[:, :, :stop]

    def select(self, rows: Tensor) -> None:
        """Keep (and repeat) the given rows, in place; used by beam search."""
        self.key = self.key.index_select(0, rows)
        self.value = self.value.index_select(0, rows)


class SelfAttention(nn.Module):
    """Self-attention over [B, T, H].

    Args:
        width: H.
        heads: number of heads; H / heads must be even.
        rotary: shared position rotation.
        causal: whether a step sees only itself and earlier steps.
    """

    def __init__(self, width: int, heads: int, rotary: Rotary, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.rotary = rotary
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Tensor,
        prefix: tuple[Tensor, Tensor] | None = None,
        lengths: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Attend; `prefix` is (key, value), each [B, heads, P, D]; shapes as in the class."""
        batch, steps, width = x.shape
        qkv = self.qkv(x).view(batch, steps, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        start = 0 if cache is None else cache.length
        query, key = self.rotary(query, start), self.rotary(key, start)
        if cache is not None:
            key, value = cache.append(key, value)
        prefix_key, prefix_value = prefix if prefix is not None else (None, None)
        mixed = prefix_attention(
            query, key, value, prefix_key, prefix_value, causal=self.causal, lengths=lengths
        )
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, steps, width))
        return out

    def empty_cache(self, batch: int, capacity: int, like: Tensor) -> KeyValueCache:
        """A cache for `capacity` steps with the device and dtype of `like`."""
        shape = (batch, self.heads, capacity, self.qkv.in_features // self.heads)
        return KeyValueCache(
            torch.zeros(shape, dtype=like.dtype, device=like.device),
            torch.zeros(shape, dtype=like.dtype, device=like.device),
        )
