"""GRU decoder; z sets its first state and joins every input (Bowman et al. 2016; He et al. 2019), or otherwise."""

from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from seqvae.decoders.decoder import Decoder
from seqvae.decoders.injection import linear
from seqvae.errors import UserError

GruInjection = Literal["default", "embedding", "softmax", "skip"]
"""default: it sets the first state and joins every input; else it is added to every input, or to the states
before the logits. skip: both the default and the last, a path past the recurrence (Skip-VAE, Dieng et al. 2019,
arXiv 1807.04863)."""


@dataclass(frozen=True)
class Gru:
    """GRU decoder."""

    layers: int = 1
    """Number of layers."""
    width: int = 256
    """Size of the states and of the token embedding."""
    dropout: float = 0.1
    """Dropout on inputs, outputs and between layers."""
    injection: GruInjection = "default"
    """How z enters: it sets the first state and joins every input (default), that and it is added to the
    states before the logits (skip), or it is added, in this way alone."""

    def __post_init__(self) -> None:
        """Refuse ways of the Transformer's."""
        if self.injection not in get_args(GruInjection):
            raise UserError(
                f"decoder: injection {self.injection} is for the Transformer, whose norms and attention it "
                f"needs; of a GRU it is {', '.join(get_args(GruInjection)[:-1])} or {get_args(GruInjection)[-1]}"
            )

    def build(self, latent: int | None, max_length: int) -> "GruDecoder":
        """The module; `latent` is the size of z, None for a language model."""
        return GruDecoder(self, latent, max_length)


@dataclass
class GruState:
    """Hidden state [layers, B, H] and what joins every input [B, D], is added to it or to the state [B, H]."""

    hidden: Tensor
    joined: Tensor | None
    added: Tensor | None
    offset: Tensor | None


@final
class GruDecoder(Decoder):
    """See `Gru`."""

    def __init__(self, config: Gru, latent: int | None, max_length: int) -> None:
        super().__init__()
        self.width, self.layers = config.width, config.layers
        # It could go on for ever; what it writes must be short enough to be read again.
        self.max_length = max_length
        self.dropout = nn.Dropout(config.dropout)
        joined = latent if latent is not None and config.injection in ("default", "skip") else None
        self.gru = nn.GRU(
            config.width + (joined or 0),
            config.width,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.first = None if joined is None else nn.Linear(joined, config.layers * config.width)
        self.add: nn.Linear | None = None
        self.offset: nn.Linear | None = None
        if latent is not None and config.injection == "embedding":
            self.add = linear(latent, config.width, 0.02)
        if latent is not None and config.injection in ("softmax", "skip"):
            self.offset = linear(latent, config.width, 0.02)

    def condition(self, z: Tensor | None, batch: int) -> GruState:
        """What z [B, D] decides once for all steps."""
        joined = z if self.first is not None else None
        added = None if z is None or self.add is None else self.add(z)
        offset = None if z is None or self.offset is None else self.offset(z)
        return GruState(self._first_state(z, batch), joined, added, offset)

    def _first_state(self, z: Tensor | None, batch: int) -> Tensor:
        if z is None or self.first is None:
            return next(self.parameters()).new_zeros(self.layers, batch, self.width)
        flat = torch.tanh(self.first(z))
        return flat.view(batch, self.layers, self.width).transpose(0, 1).contiguous()

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        state = self.condition(z, len(x))
        if state.added is not None:
            x = x + state.added[:, None]
        x = self.dropout(x)
        if state.joined is not None:
            x = torch.cat([x, state.joined[:, None].expand(-1, x.shape[1], -1).to(x.dtype)], -1)
        out: Tensor = self.dropout(self.gru(x, state.hidden.to(x.dtype))[0])
        return out if state.offset is None else out + state.offset[:, None]

    def start(self, z: Tensor | None, batch: int, capacity: int) -> GruState:
        """See `Decoder.start`."""
        return self.condition(z, batch)

    def step(self, x: Tensor, state: GruState) -> Tensor:
        """See `Decoder.step`."""
        if state.added is not None:
            x = x + state.added
        if state.joined is not None:
            x = torch.cat([x, state.joined], -1)
        out, state.hidden = self.gru(x[:, None], state.hidden)
        last: Tensor = out[:, 0]
        return last if state.offset is None else last + state.offset

    def select(self, state: GruState, rows: Tensor) -> None:
        """See `Decoder.select`."""
        state.hidden = state.hidden.index_select(1, rows)
        for name in ("joined", "added", "offset"):
            value = getattr(state, name)
            if value is not None:
                setattr(state, name, value.index_select(0, rows))
