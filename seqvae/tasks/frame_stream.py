"""Frames of a sound while it comes in."""

import torch
from torch import Tensor

from seqvae.nn.mel import MelSpectrogram


class FrameStream:
    """Log-mel frames of a sound that comes in pieces: those of the whole, in blocks.

    Args:
        mel: makes frames.
        frames: of a block.
    """

    def __init__(self, mel: MelSpectrogram, frames: int) -> None:
        self.mel = mel
        self.step = frames * mel.settings.hop
        # From `edge` samples before the next block on; the first ones are mirrored.
        self._padded = torch.zeros(0, device=mel.window.device)
        self._begun = False

    def push(self, samples: Tensor) -> Tensor:
        """Frames [1, T, mels] of the blocks that samples [n] make complete; T may be 0."""
        self._padded = torch.cat([self._padded, samples])
        edge = self.mel.settings.edge
        if not self._begun and len(self._padded) > edge:
            self._padded = torch.cat([self._padded[1 : edge + 1].flip(0), self._padded])
            self._begun = True
        count = (len(self._padded) - 2 * edge) // self.step if self._begun else 0
        return self._taken(max(count, 0))

    def flush(self) -> Tensor:
        """Frames of what is left, filled up with silence to a whole block."""
        edge = self.mel.settings.edge
        have = len(self._padded) - (edge if self._begun else 0)
        silence = torch.zeros(-have % self.step, device=self._padded.device)
        found = [self.push(silence)]
        if self._begun:
            self._padded = torch.cat([self._padded, self._padded[-edge - 1 : -1].flip(0)])
            found.append(self._taken((len(self._padded) - 2 * edge) // self.step))
        return torch.cat(found, 1)

    def _taken(self, count: int) -> Tensor:
        settings = self.mel.settings
        if not count:
            return torch.zeros(1, 0, settings.mels, device=self._padded.device)
        mel = self.mel.unpadded(self._padded[None, : count * self.step + 2 * settings.edge])
        self._padded = self._padded[count * self.step :]
        return mel
