"""Encoders. A new one: one file here and one line in `EncoderChoice`."""

from seqvae.encoders.content import ContentConv
from seqvae.encoders.encoder import Encoder
from seqvae.encoders.frame_encoder import FrameEncoder
from seqvae.encoders.pitch import PitchConv, PitchReader
from seqvae.encoders.recurrent import Gru
from seqvae.encoders.style import StyleConv
from seqvae.encoders.transformer import Transformer

EncoderChoice = Transformer | Gru
ContentChoice = ContentConv
StyleChoice = StyleConv

__all__ = [
    "ContentChoice",
    "ContentConv",
    "Encoder",
    "EncoderChoice",
    "FrameEncoder",
    "Gru",
    "PitchConv",
    "PitchReader",
    "StyleChoice",
    "StyleConv",
    "Transformer",
]
