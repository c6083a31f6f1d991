"""What a vocoder is: log-mel frames to sound."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.ops.philox import uniform_rows

FRAME_STREAM = 1 << 32
"""Offset between the noise of two frames: the frame's number is the fourth word of Philox's counter."""


class Vocoder(nn.Module, ABC):
    """Turns the frames of `MelSpectrogram` with the same settings back into sound.

    All that is random is drawn frame by frame from a seed, so the same seed gives the same sound, and a
    recording that is spoken in pieces gives the noise of the whole.
    """

    settings: MelSettings
    noise_width: int = 0
    """Random numbers that each frame takes; 0: nothing is random."""
    past: int = 16
    """Frames before a frame that its samples depend on: what a stream keeps."""
    ahead: int = 4
    """Frames behind a frame that its samples depend on: what a stream waits for."""
    bounded: bool = False
    """Whether that is all that they depend on; if not, a stream has what that gives nearly."""

    @abstractmethod
    def forward(self, mel: Tensor, noise: Tensor | None = None) -> Tensor:
        """Sound of log-mel frames.

        Args:
            mel: natural log-mel, float32 [B, T, mels].
            noise: uniform in [0, 1), float32 [T, noise_width], the same for all rows, or
                [B, T, noise_width]; by default that of seed 0, see `draw`.

        Returns:
            Samples, float32 [B, T * hop].
        """

    def draw(self, seed: Tensor, frames: int, first: int = 0) -> Tensor:
        """The noise of `frames` frames from frame `first` on, float32 [frames, noise_width].

        Args:
            seed: int64, one element.
            frames: T.
            first: number of the first one; a chunk of a recording has its place in the whole.
        """
        numbers = torch.arange(first, first + frames, device=seed.device)
        return uniform_rows(seed, numbers * FRAME_STREAM, 0, self.noise_width)

    def noise_of(self, mel: Tensor, noise: Tensor | None = None) -> Tensor:
        """The noise that `forward` was given for `mel`, or that of seed 0: [B or 1, T, noise_width]."""
        if noise is None:
            seed = torch.zeros(1, dtype=torch.int64, device=mel.device)
            noise = self.draw(seed, mel.shape[1])
        return noise if noise.dim() == 3 else noise[None]
