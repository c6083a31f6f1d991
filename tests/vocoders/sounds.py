"""Sounds made here: pulses through resonances, as a voice, and noise, as a breath."""

import math

import torch
from torch import Tensor

from seqvae.ops.philox import normal

RATE = 16_000
FORMANTS = ((500.0, 80.0), (1500.0, 120.0), (2500.0, 160.0))
"""Frequency and width in Hz of a neutral vowel's resonances."""


def voice(seconds: float = 1.0, pitch: float = 120.0, seed: int = 0) -> Tensor:
    """A hummed vowel whose pitch glides, with some breath; float32 [N], loudness 0.06."""
    count = round(seconds * RATE)
    time = torch.arange(count) / RATE
    phase = torch.cumsum(pitch * (1.0 + 0.1 * torch.sin(2 * math.pi * 3.0 * time)) / RATE, 0)
    pulses = (phase.floor().diff(prepend=torch.zeros(1)) > 0).float()
    breath = 0.02 * normal(torch.tensor([seed]), (count,))
    sound = pulses + breath
    kernel = torch.zeros(512)
    decay = torch.arange(512) / RATE
    for frequency, width in FORMANTS:
        kernel += torch.exp(-math.pi * width * decay) * torch.sin(2 * math.pi * frequency * decay)
    size = 2 ** math.ceil(math.log2(count + 512))
    sound = torch.fft.irfft(torch.fft.rfft(sound, size) * torch.fft.rfft(kernel, size), size)
    sound = sound[:count]
    loud: Tensor = sound * (0.06 / sound.square().mean().sqrt())
    return loud
