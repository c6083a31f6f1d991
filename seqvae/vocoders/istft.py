"""Pulses and noise through filters that a network makes of mel frames: no iterations."""

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.encoders.pitch import PitchConv
from seqvae.errors import UserError
from seqvae.nn.convnext import ConvNext
from seqvae.vocoders.envelope import Envelope
from seqvae.vocoders.linear_head import CENTRE, SCALE, check_network, in_silence
from seqvae.vocoders.source import pulse_turns, pulses
from seqvae.vocoders.stft import FastStft, Stft, hann
from seqvae.vocoders.vocoder import Vocoder

PITCH_KERNEL = 3
PITCH_CENTRE = 5.0
"""About the logarithm of a voice's frequency in Hz."""
LOUDEST = 6.0
"""Greatest logarithm of a gain: what is not from this world stays finite."""


@dataclass(frozen=True)
class Istft:
    """A ConvNeXt network that filters pulses and noise, by an inverse short-time Fourier transform.

    As in the vocoders of Vocos' kind (Siuzdak 2023, arXiv 2306.00814) nothing is upsampled; as in
    those with a source and a filter (Wang, Takaki, Yamagishi 2019, arXiv 1904.12088; Liu, Chen, Yu 2020,
    "Neural homomorphic vocoder") the phase is that of pulses at the pitch, read from the frames, and need
    not be learned: an hour of speech and minutes of a processor are enough.
    """

    width: int = 256
    """Channels."""
    blocks: int = 4
    """ConvNeXt blocks."""
    kernel: int = 3
    """Taps of each convolution."""
    ahead: int = 2
    """Frames that the network waits for."""
    parts: int = 2
    """Filters of each frame; the Fourier transform is so much shorter than that of the frames."""
    pitch_width: int = 64
    """Channels of the network that reads the pitch."""
    pitch_layers: int = 3
    """Its residual blocks."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, naming the field."""
        check_network(self.width, self.blocks, self.kernel, self.ahead)
        if not 1 <= self.parts <= 16:
            raise UserError(f"parts must be from 1 to 16, got {self.parts}")
        self.pitch_conv()

    def pitch_conv(self) -> PitchConv:
        """The network that reads the pitch; it sees no future, its frames are those `ahead` before."""
        return PitchConv(
            width=self.pitch_width, layers=self.pitch_layers, kernel=PITCH_KERNEL, causal=True
        )

    def build(self, settings: MelSettings) -> "IstftVocoder":
        """The module, untrained."""
        return IstftVocoder(self, settings)


@final
class IstftVocoder(Vocoder):
    """See `Istft`."""

    bounded = True

    def __init__(self, config: Istft, settings: MelSettings) -> None:
        super().__init__()
        self.config, self.settings = config, settings
        parts = config.parts
        for name in ("n_fft", "hop", "window"):
            if getattr(settings, name) % (2 * parts):
                raise UserError(
                    f"mel settings {name}: {getattr(settings, name)} cannot be divided into {parts} "
                    "parts of even length; choose other parts"
                )
        fine = replace(
            settings,
            n_fft=settings.n_fft // parts,
            hop=settings.hop // parts,
            window=settings.window // parts,
        )
        self.stft: Stft = FastStft(fine)
        self.fine = fine
        self.noise_width = settings.hop
        self.pitch = config.pitch_conv().build(settings.mels)
        self.network = ConvNext(
            settings.mels + 2, config.width, config.blocks, config.kernel, config.ahead
        )
        self.output = nn.Linear(config.width, 3 * parts * fine.bins)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)
        self.envelope = Envelope(settings, fine.n_fft)
        # Log-magnitude of noise of unit power: what a gain of one gives.
        self.unit = 0.5 * math.log(float(hann(fine).square().sum()))
        self.pitch_past = (PITCH_KERNEL - 1) * (1 + 2 * config.pitch_layers)
        self.past, self.ahead = self.pitch_past + self.network.past, config.ahead

    def forward(
        self, mel: Tensor, noise: Tensor | None = None, turn: Tensor | None = None
    ) -> Tensor:
        """See `Vocoder.forward`; `turn` as for `pulse_turns`."""
        around = in_silence(mel, self.past, self.ahead, self.settings)
        return self.speak(around, self.noise_of(mel, noise), turn)

    def speak(self, mel: Tensor, noise: Tensor, turn: Tensor | None = None) -> Tensor:
        """Sound of frames whose context is given.

        Args:
            mel: natural log-mel [B, past + T + ahead, mels].
            noise: uniform in [0, 1), [B or 1, T, hop].
            turn: as for `pulse_turns`.

        Returns:
            Samples, float32 [B, T * hop].
        """
        x = (mel - CENTRE) / SCALE
        log_hertz, voiced = self.read_pitch(x)
        # The network is told of a frame's pitch as soon as it is known, `ahead` frames late.
        x = torch.cat([x, (log_hertz - PITCH_CENTRE)[..., None], voiced[..., None]], 2)
        filters = self.filters(x[:, self.pitch_past :], mel)
        log_hertz, voiced = (p[:, self.past + self.ahead :] for p in (log_hertz, voiced))
        sources = self.sources(log_hertz, voiced, noise.expand(mel.shape[0], -1, -1), turn)
        voice, breath = (_times(source, by) for source, by in zip(sources, filters, strict=True))
        return self.stft.trim(self.stft.inverse(voice + breath))

    def read_pitch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-frequency and 1 where voiced, both [B, T], of the frames `ahead` before those of `x`."""
        with torch.no_grad():
            return self.pitch.log_hertz(x)

    def filters(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra to multiply those of the pulses and of the noise with."""
        parts = self.config.parts
        inner = mel[:, self.past : mel.shape[1] - self.ahead]
        made = self.output(self.network(x))
        made = made.view(mel.shape[0], -1, 3, self.fine.bins)
        level = (self.envelope(inner) - self.unit).repeat_interleave(parts, 1)
        voice, breath, angle = made.unbind(2)
        gain = torch.exp((level + voice).clamp_max(LOUDEST))
        pulses = self.stft.polar(self.stft.arrange(gain), 0.5 * torch.tanh(angle))
        gain = self.stft.arrange(torch.exp((level + breath).clamp_max(LOUDEST)))
        return pulses, torch.stack((gain, torch.zeros_like(gain)), 2)

    def sources(
        self, log_hertz: Tensor, voiced: Tensor, noise: Tensor, turn: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Spectra of pulses and of noise."""
        turns = pulse_turns(log_hertz, voiced, self.settings, turn)
        edge = self.fine.edge
        voice = pulses(log_hertz, turns, self.settings, edge)
        breath = F.pad((noise.flatten(1) - 0.5) * 12.0**0.5, (edge, edge))
        both = self.stft(torch.cat([voice, breath]))
        rows = voice.shape[0]
        return both[:rows], both[rows:]


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Product of spectra, complex numbers along axis 2."""
    (p, q), (r, s) = a.unbind(2), b.unbind(2)
    return torch.stack((p * r - q * s, p * s + q * r), 2)
