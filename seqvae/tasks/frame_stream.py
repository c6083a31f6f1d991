"""Sound to frames and frames to sound while it comes in: what is kept of the past and waited for."""

import torch
from torch import Tensor

from seqvae.nn.mel import MelSpectrogram
from seqvae.vocoders import Vocoder

FADE = 64
"""Samples over which a piece gives way to the next where the vocoder's context is not bounded."""


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


class VocoderStream:
    """Sound of frames that come in pieces.

    Each piece is spoken with `past` frames before and `ahead` frames behind it: of a bounded vocoder
    that is what it makes of the whole, of another one pieces are faded into each other.

    Args:
        vocoder: speaks.
        seed: of its noise.
    """

    def __init__(self, vocoder: Vocoder, seed: int = 0) -> None:
        self.vocoder = vocoder
        self._seed = torch.tensor([seed])
        self._frames: Tensor | None = None
        self._first = 0  # number of the first frame that is kept
        self._done = 0  # frames that were spoken
        self._tail: Tensor | None = None  # what the last window said of the frames behind its own

    def push(self, frames: Tensor, *, last: bool = False) -> Tensor:
        """Samples [n] that frames [1, T, mels] make certain; all that is left with `last`."""
        kept = frames if self._frames is None else torch.cat([self._frames, frames], 1)
        total = self._first + kept.shape[1]
        end = total if last else max(total - self.vocoder.ahead, self._done)
        self._frames = kept
        if end == self._done:
            return torch.zeros(0, device=frames.device)
        hop, noise = self.vocoder.settings.hop, None
        if self.vocoder.noise_width:
            seed = self._seed.to(frames.device)
            noise = self.vocoder.draw(seed, kept.shape[1], self._first)
        wave: Tensor = self.vocoder(kept, noise)[0]
        begin = (self._done - self._first) * hop
        out = wave[begin : begin + (end - self._done) * hop].clone()
        if self._tail is not None and not self.vocoder.bounded:
            size = min(FADE, len(self._tail), len(out))
            rise = (torch.arange(size, device=out.device) + 0.5) / size
            out[:size] = torch.lerp(self._tail[:size], out[:size], rise)
        self._tail = wave[(end - self._first) * hop :]
        self._done = end
        dropped = max(end - self.vocoder.past - self._first, 0)
        self._frames, self._first = kept[:, dropped:], self._first + dropped
        return out
