"""Decoders. A new one: one file here and one line in `DecoderChoice`."""

from seqvae.decoders.decoder import Decoder
from seqvae.decoders.recurrent import Gru
from seqvae.decoders.transformer import Transformer

DecoderChoice = Transformer | Gru

__all__ = ["Decoder", "DecoderChoice", "Gru", "Transformer"]
