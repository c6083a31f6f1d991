"""The GRU encoder and decoder as graphs."""

import torch
from torch import Tensor, nn

from seqvae.batch import padding_mask
from seqvae.decoders.recurrent import GruDecoder
from seqvae.encoders.recurrent import GruEncoder
from seqvae.export.recurrent import gru_layers, gru_step
from seqvae.likelihoods.categorical import CategoricalLikelihood


class Summary(nn.Module):
    """`GruEncoder.forward` for the exporter."""

    def __init__(self, encoder: GruEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        encoder = self.encoder
        states = gru_layers(x, encoder.gru, None, lengths)
        out: Tensor = encoder.pool(states, padding_mask(lengths, x.shape[1]))
        if encoder.both_ends:
            half = encoder.width // 2
            out = torch.cat([out[:, :half], states[:, 0, half:]], -1)
        return out


class States(nn.Module):
    """`GruDecoder.forward` for the exporter."""

    def __init__(self, decoder: GruDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        first = None
        if z is not None:
            first = self.decoder._first_state(z, z.shape[0])
            x = torch.cat([x, z[:, None].expand(-1, x.shape[1], -1)], -1)
        return gru_layers(x, self.decoder.gru, first, None)


class Start(nn.Module):
    """z [B, D] to z itself, which joins every input, and the first states [B, layers, H]."""

    def __init__(self, decoder: GruDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        return z + 0.0, self.decoder._first_state(z, z.shape[0]).transpose(0, 1)


class Step(nn.Module):
    """token [B, 1], position [], z [B, D] if there is one, states [B, layers, H] -> logits [B, V], states."""

    def __init__(self, decoder: GruDecoder, likelihood: CategoricalLikelihood) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, token: Tensor, position: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; the states know the position."""
        x = self.likelihood.embed(token)[:, 0]
        *z, hidden = state
        if z:
            x = torch.cat([x, z[0]], -1)
        out, states = gru_step(x, hidden, self.decoder.gru)
        return self.likelihood.logits(out), states
