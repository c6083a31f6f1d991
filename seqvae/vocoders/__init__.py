"""Vocoders. A new one: one file here and one line in `VocoderChoice`."""

from seqvae.vocoders.folder import VocoderChoice, load_vocoder, save_vocoder
from seqvae.vocoders.griffin_lim import GriffinLim
from seqvae.vocoders.vocoder import Vocoder

__all__ = ["GriffinLim", "Vocoder", "VocoderChoice", "load_vocoder", "save_vocoder"]
