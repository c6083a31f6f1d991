"""GRU decoder; z sets its first state and joins every input (Bowman et al. 2016; He et al. 2019)."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.decoders.decoder import Decoder


@dataclass(frozen=True)
class Gru:
    """GRU decoder."""

    layers: int = 1
    """Number of layers."""
    width: int = 256
    """Size of the states and of the token embedding."""
    dropout: float = 0.1
    """Dropout on inputs, outputs and between layers."""

    def build(self, latent: int | None, max_length: int) -> "GruDecoder":
        """The module; `latent` is the size of z, None for a language model."""
        return GruDecoder(self, latent, max_length)


@dataclass
class GruState:
    """Hidden state [layers, B, H] and the latent [B, D] that joins every input."""

    hidden: Tensor
    z: Tensor | None


@final
class GruDecoder(Decoder):
    """See `Gru`."""

    def __init__(self, config: Gru, latent: int | None, max_length: int) -> None:
        super().__init__()
        self.width, self.layers = config.width, config.layers
        # It could go on for ever; what it writes must be short enough to be read again.
        self.max_length = max_length
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(
            config.width + (latent or 0),
            config.width,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.first = None if latent is None else nn.Linear(latent, config.layers * config.width)

    def _first_state(self, z: Tensor | None, batch: int) -> Tensor:
        if z is None or self.first is None:
            return next(self.parameters()).new_zeros(self.layers, batch, self.width)
        flat = torch.tanh(self.first(z))
        return flat.view(batch, self.layers, self.width).transpose(0, 1).contiguous()

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        x = self.dropout(x)
        if z is not None:
            x = torch.cat([x, z[:, None].expand(-1, x.shape[1], -1).to(x.dtype)], -1)
        out: Tensor = self.dropout(self.gru(x, self._first_state(z, len(x)).to(x.dtype))[0])
        return out

    def start(self, z: Tensor | None, batch: int, capacity: int) -> GruState:
        """See `Decoder.start`."""
        return GruState(self._first_state(z, batch), z)

    def step(self, x: Tensor, state: GruState) -> Tensor:
        """See `Decoder.step`."""
        if state.z is not None:
            x = torch.cat([x, state.z], -1)
        out, state.hidden = self.gru(x[:, None], state.hidden)
        last: Tensor = out[:, 0]
        return last

    def select(self, state: GruState, rows: Tensor) -> None:
        """See `Decoder.select`."""
        state.hidden = state.hidden.index_select(1, rows)
        if state.z is not None:
            state.z = state.z.index_select(0, rows)
