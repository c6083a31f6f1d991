"""Bidirectional GRU encoder, pooled over its states (or, naively, its last one)."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqvae.batch import padding_mask
from seqvae.encoders.encoder import Encoder
from seqvae.nn.pooling import Pool, Pooling


@dataclass(frozen=True)
class Gru:
    """GRU encoder."""

    layers: int = 1
    """Number of layers."""
    width: int = 256
    """Size of the states (both directions together)."""
    bidirectional: bool = True
    """Whether a second GRU reads from the end; without it and with `pooling last` this is the
    encoder of Bowman et al. 2016."""
    dropout: float = 0.1
    """Dropout on the embedded input and between layers."""
    pooling: Pooling = "mean"
    """How states become one vector: mean, max, mean_max, attention or last."""

    def build(self, embedding_width: int, max_length: int) -> "GruEncoder":
        """The module, for inputs [B, T, embedding_width]; any length."""
        return GruEncoder(self, embedding_width)


@final
class GruEncoder(Encoder):
    """See `Gru`."""

    def __init__(self, config: Gru, embedding_width: int) -> None:
        super().__init__()
        self.width = config.width
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(
            embedding_width,
            config.width // (2 if config.bidirectional else 1),
            config.layers,
            batch_first=True,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.pool = Pool(config.width, config.pooling)
        self.both_ends = config.bidirectional and config.pooling == "last"

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        packed = pack_padded_sequence(
            self.dropout(x), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=x.shape[1]
        )
        out: Tensor = self.pool(states, padding_mask(lengths, x.shape[1]))
        if self.both_ends:
            # The backward GRU has read everything at the first step, not at the last one.
            half = self.width // 2
            out = torch.cat([out[:, :half], states[:, 0, half:]], -1)
        return out
