"""Encoders. A new one: one file here and one line in `EncoderChoice`."""

from seqvae.encoders.encoder import Encoder
from seqvae.encoders.recurrent import Gru
from seqvae.encoders.transformer import Transformer

EncoderChoice = Transformer | Gru

__all__ = ["Encoder", "EncoderChoice", "Gru", "Transformer"]
