"""Pre-norm Transformer blocks, plain or modulated by a latent."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.nn.attention import KeyValueCache, SelfAttention
from seqvae.nn.film import FilmNorm
from seqvae.nn.rotary import Rotary


class FeedForward(nn.Module):
    """Two layers with a GELU between, H -> 4 H -> H."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, T, H] to [B, T, H]."""
        out: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention and feed-forward, each on its normalised input and added to the stream.

    Args:
        width: H.
        heads: attention heads.
        rotary: shared position rotation.
        causal: whether a step sees only earlier steps.
        dropout: probability on each branch's output.
    """

    def __init__(
        self, width: int, heads: int, rotary: Rotary, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = FilmNorm(width)
        self.attention = SelfAttention(width, heads, rotary, causal)
        self.forward_norm = FilmNorm(width)
        self.feed_forward = FeedForward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor | None = None,
        prefix: tuple[Tensor, Tensor] | None = None,
        lengths: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Map [B, T, H] to [B, T, H]; `modulation` [B, 4 H] serves both norms, or None."""
        first, second = (None, None) if modulation is None else modulation.chunk(2, -1)
        normed = self.attention_norm(x, first)
        x = x + self.dropout(self.attention(normed, prefix, lengths, cache))
        out: Tensor = x + self.dropout(self.feed_forward(self.forward_norm(x, second)))
        return out


class Stack(nn.Module):
    """`layers` blocks and a last normalisation.

    Args:
        width: H.
        heads: attention heads.
        layers: blocks.
        max_length: longest sequence in steps.
        causal: whether a step sees only earlier steps.
        dropout: probability on each branch.
    """

    def __init__(
        self, width: int, heads: int, layers: int, max_length: int, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        rotary = Rotary(width // heads, max_length)
        self.blocks = nn.ModuleList(
            Block(width, heads, rotary, causal, dropout) for _ in range(layers)
        )
        self.norm = FilmNorm(width)
        self.apply(_initialise)
        for block in self.each:
            for name in ("attention.out", "feed_forward.down"):
                # GPT-2's residual scaling keeps the stream's variance flat with depth.
                branch = block.get_submodule(name)
                assert isinstance(branch, nn.Linear)
                nn.init.normal_(branch.weight, std=0.02 / (2 * layers) ** 0.5)

    @property
    def each(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.blocks))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def token_embedding(vocabulary: int, width: int) -> nn.Embedding:
    """An embedding [V, H] with the scale the blocks expect."""
    embedding = nn.Embedding(vocabulary, width)
    with torch.no_grad():
        embedding.weight.normal_(std=0.02)
    return embedding
