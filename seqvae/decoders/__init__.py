"""Decoders. A new one: one file here and one line in `DecoderChoice`."""

from seqvae.decoders.decoder import Decoder
from seqvae.decoders.film_conv import FilmConv
from seqvae.decoders.frame_decoder import FrameDecoder
from seqvae.decoders.recurrent import Gru
from seqvae.decoders.series import FilmSeries, SeriesDecoder, StepSeries
from seqvae.decoders.transformer import Transformer

DecoderChoice = Transformer | Gru
FrameDecoderChoice = FilmConv

__all__ = [
    "Decoder",
    "DecoderChoice",
    "FilmConv",
    "FilmSeries",
    "FrameDecoder",
    "FrameDecoderChoice",
    "Gru",
    "SeriesDecoder",
    "StepSeries",
    "Transformer",
]
