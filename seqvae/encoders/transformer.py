"""Bidirectional Transformer encoder, pooled over its states."""

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from seqvae.batch import padding_mask
from seqvae.encoders.encoder import Encoder
from seqvae.nn.pooling import Pool, Pooling
from seqvae.nn.transformer import Stack


@dataclass(frozen=True)
class Transformer:
    """Bidirectional Transformer encoder."""

    layers: int = 2
    """Number of blocks."""
    width: int = 128
    """Size of the states."""
    heads: int = 4
    """Attention heads."""
    dropout: float = 0.1
    """Dropout on each branch, and on the embedded input."""
    pooling: Pooling = "mean"
    """How states become one vector: mean, max, mean_max, attention or last."""

    def build(self, embedding_width: int, max_length: int) -> "TransformerEncoder":
        """The module, for inputs [B, T, embedding_width]."""
        return TransformerEncoder(self, embedding_width, max_length)


@final
class TransformerEncoder(Encoder):
    """See `Transformer`."""

    def __init__(self, config: Transformer, embedding_width: int, max_length: int) -> None:
        super().__init__()
        self.width = config.width
        self.input: nn.Module = nn.Identity()
        if embedding_width != config.width:
            self.input = nn.Linear(embedding_width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.stack = Stack(
            config.width, config.heads, config.layers, max_length, False, config.dropout
        )
        self.pool = Pool(config.width, config.pooling)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        mask = padding_mask(lengths, x.shape[1])
        x = self.dropout(self.input(x))
        for block in self.stack.each:
            x = block(x, lengths=lengths)
        out: Tensor = self.pool(self.stack.norm(x), mask)
        return out
