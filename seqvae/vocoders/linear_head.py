"""A network that knows which magnitudes have this mel, then Griffin-Lim."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.nn.convnext import ConvNext
from seqvae.vocoders.envelope import Envelope
from seqvae.vocoders.griffin_lim import check_iterations, griffin_lim
from seqvae.vocoders.stft import FastStft, Stft
from seqvae.vocoders.vocoder import Vocoder

CENTRE, SCALE = -5.0, 2.0
"""About the mean and standard deviation of the log-mel of speech of RMS 0.06: what networks read."""


@dataclass(frozen=True)
class LinearHead:
    """Magnitudes from a small learned network, phase by Griffin-Lim.

    The filters of 80 mel bands average over many bins; that loss, not the phase, is what is heard of
    Griffin-Lim on mel frames. The network puts the harmonics back.
    """

    width: int = 256
    """Channels."""
    blocks: int = 4
    """ConvNeXt blocks."""
    kernel: int = 3
    """Taps of each convolution."""
    ahead: int = 2
    """Frames that the network waits for."""
    iterations: int = 32
    """Rounds of Griffin-Lim."""
    momentum: float = 0.99
    """Of Griffin-Lim."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, naming the field."""
        check_network(self.width, self.blocks, self.kernel, self.ahead)
        check_iterations(self.iterations, self.momentum)

    def build(self, settings: MelSettings) -> "LinearHeadVocoder":
        """The module, untrained."""
        return LinearHeadVocoder(self, settings)


def check_network(width: int, blocks: int, kernel: int, ahead: int) -> None:
    """Raise a UserError unless a ConvNeXt network of these sizes can be built and run."""
    for name, value, most in (
        ("width", width, 4096),
        ("blocks", blocks, 64),
        ("kernel", kernel, 63),
    ):
        if not 1 <= value <= most:
            raise UserError(f"{name} must be from 1 to {most}, got {value}")
    seen = (blocks + 1) * (kernel - 1)
    if not 0 <= ahead <= seen:
        raise UserError(
            f"ahead must be from 0 to {seen}, all that {blocks} blocks of {kernel} taps see; got {ahead}"
        )


@final
class LinearHeadVocoder(Vocoder):
    """See `LinearHead`."""

    def __init__(self, config: LinearHead, settings: MelSettings) -> None:
        super().__init__()
        self.config, self.settings = config, settings
        self.noise_width = settings.bins
        self.network = ConvNext(
            settings.mels, config.width, config.blocks, config.kernel, config.ahead
        )
        self.past, self.ahead = self.network.past, self.network.ahead
        self.output = nn.Linear(config.width, settings.bins)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)
        self.envelope = Envelope(settings, settings.n_fft)
        self.stft: Stft = FastStft(settings)

    def forward(self, mel: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Vocoder.forward`; `noise` is where the phase begins, in turns."""
        turns = self.noise_of(mel, noise)
        around = in_silence(mel, self.past, self.ahead, self.settings)
        magnitude = self.stft.arrange(torch.exp(self.log_magnitude(around)))
        start, config = self.stft.polar(magnitude, turns), self.config
        padded = griffin_lim(magnitude, start, self.stft, config.iterations, config.momentum)
        return self.stft.trim(padded)

    def log_magnitude(self, mel: Tensor) -> Tensor:
        """Log-magnitudes [B, T, bins] of frames with their context [B, past + T + ahead, mels]."""
        states = self.network((mel - CENTRE) / SCALE)
        inner = mel[:, self.past : mel.shape[1] - self.ahead]
        magnitude: Tensor = self.output(states) + self.envelope(inner)
        return magnitude


def in_silence(mel: Tensor, past: int, ahead: int, settings: MelSettings) -> Tensor:
    """Frames with silence around them, [B, past + T + ahead, mels]."""
    return F.pad(mel, (0, 0, past, ahead), value=math.log(settings.floor))
