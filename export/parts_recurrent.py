"""The GRU encoder and decoder as graphs."""

import torch
from torch import Tensor, nn

from seqvae.batch import padding_mask
from seqvae.decoders.recurrent import GruDecoder
from seqvae.encoders.recurrent import GruEncoder
from seqvae.export.readout import Readout
from seqvae.export.recurrent import gru_layers, gru_step


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
        if z is None:
            return gru_layers(x, self.decoder.gru, None, None)
        given = self.decoder.condition(z, z.shape[0])
        if given.added is not None:
            x = x + given.added[:, None]
        if given.joined is not None:
            x = torch.cat([x, given.joined[:, None].expand(-1, x.shape[1], -1)], -1)
        states = gru_layers(x, self.decoder.gru, given.hidden, None)
        return states if given.offset is None else states + given.offset[:, None]


class Start(nn.Module):
    """z [B, D] to what every step is told, and the first states [B, layers, H].

    That is z itself, which joins every input, or what is added to inputs or to states, [B, H].
    """

    def __init__(self, decoder: GruDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        given = self.decoder.condition(z, z.shape[0])
        told = next(x for x in (given.joined, given.added, given.offset) if x is not None)
        hidden = given.hidden.transpose(0, 1)
        if self.decoder.first is None:
            # Of zeros the exporter would make a constant of a fixed number of rows.
            hidden = torch.zeros(z.shape[0], self.decoder.layers, self.decoder.width)
        return told + 0.0, hidden


class Step(nn.Module):
    """token [B, 1], position [], what `Start` tells if there is a latent, states [B, layers, H] -> logits [B, V], states."""

    def __init__(self, decoder: GruDecoder, likelihood: Readout) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, token: Tensor, position: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; the states know the position."""
        x = self.likelihood.embed(token)[:, 0]
        *told, hidden = state
        decoder = self.decoder
        if told and decoder.first is not None:
            x = torch.cat([x, told[0]], -1)
        if told and decoder.add is not None:
            x = x + told[0]
        out, states = gru_step(x, hidden, decoder.gru)
        if told and decoder.offset is not None:
            # A skip's z joins inputs as well: it is told as it is.
            out = out + (decoder.offset(told[0]) if decoder.first is not None else told[0])
        return self.likelihood.logits(out), states
