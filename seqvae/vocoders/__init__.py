"""Vocoders. A new one: one file here and one line in `VocoderChoice`."""

from seqvae.vocoders.exportable import exportable
from seqvae.vocoders.folder import VocoderChoice, load_vocoder, save_vocoder
from seqvae.vocoders.griffin_lim import GriffinLim
from seqvae.vocoders.istft import Istft
from seqvae.vocoders.linear_head import LinearHead
from seqvae.vocoders.vocoder import Vocoder

__all__ = [
    "GriffinLim",
    "Istft",
    "LinearHead",
    "Vocoder",
    "VocoderChoice",
    "exportable",
    "load_vocoder",
    "save_vocoder",
]
