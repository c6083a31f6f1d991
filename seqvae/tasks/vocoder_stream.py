"""Sound of frames that come in pieces: what is kept of the past and waited for."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from seqvae.vocoders import Vocoder
from seqvae.vocoders.istft import IstftVocoder
from seqvae.vocoders.linear_head import CENTRE, SCALE, in_silence
from seqvae.vocoders.source import pulse_turns

FADE = 64
"""Samples over which a piece gives way to the next where they need not agree."""


class VocoderStream(ABC):
    """Speaks frames in pieces, each with `past` frames before and `ahead` frames behind it.

    Args:
        vocoder: speaks.
        past: frames kept.
        ahead: frames waited for.
        seed: of the vocoder's noise.
    """

    def __init__(self, vocoder: Vocoder, past: int, ahead: int, seed: int) -> None:
        self.settings = vocoder.settings
        self.past, self.ahead = past, ahead
        self._vocoder = vocoder
        self._seed = torch.tensor([seed])
        self._frames: Tensor | None = None
        self._first = 0  # number of the first frame that is kept
        self._done = 0  # frames that were spoken

    def push(self, frames: Tensor, *, last: bool = False) -> Tensor:
        """Samples [n] that frames [1, T, mels] make certain; all that is left with `last`."""
        kept = frames if self._frames is None else torch.cat([self._frames, frames], 1)
        end = self._first + kept.shape[1]
        if not last:
            end = max(end - self.ahead, self._done)
        self._frames = kept
        if end == self._done:
            return torch.zeros(0, device=frames.device)
        found = self._spoken(kept, self._first, self._done, end)
        self._done = end
        dropped = max(end - self.past - self._first, 0)
        self._frames, self._first = kept[:, dropped:], self._first + dropped
        return found

    @abstractmethod
    def _spoken(self, kept: Tensor, first: int, begin: int, end: int) -> Tensor:
        """Samples of the frames `begin` to `end`, given [1, T, mels] from frame `first` on."""

    def _noise(self, kept: Tensor, first: int) -> Tensor | None:
        if not self._vocoder.noise_width:
            return None
        return self._vocoder.draw(self._seed.to(kept.device), kept.shape[1], first)


def vocoder_stream(vocoder: Vocoder, seed: int = 0) -> VocoderStream:
    """A vocoder that speaks in pieces what it would say of the whole, or nearly (see `Vocoder.bounded`)."""
    if isinstance(vocoder, IstftVocoder):
        return PulseStream(vocoder, seed)
    return WindowStream(vocoder, seed)


@final
class WindowStream(VocoderStream):
    """Of any vocoder: each piece is cut out of the sound of its window.

    Of a bounded vocoder that is the sound of the whole; of another one pieces are faded into each other.
    """

    def __init__(self, vocoder: Vocoder, seed: int = 0) -> None:
        super().__init__(vocoder, vocoder.past, vocoder.ahead, seed)
        self._tail: Tensor | None = None  # what the last window said of the frames behind its own

    def _spoken(self, kept: Tensor, first: int, begin: int, end: int) -> Tensor:
        hop = self.settings.hop
        wave: Tensor = self._vocoder(kept, self._noise(kept, first))[0]
        found = wave[(begin - first) * hop : (end - first) * hop].clone()
        if self._tail is not None and not self._vocoder.bounded:
            size = min(FADE, len(self._tail), len(found))
            rise = (torch.arange(size, device=found.device) + 0.5) / size
            found[:size] = torch.lerp(self._tail[:size], found[:size], rise)
        self._tail = wave[(end - first) * hop :]
        return found


@final
class PulseStream(VocoderStream):
    """Of `IstftVocoder`: pulses go on in the period where they were.

    Around a piece `edges` frames are made that are thrown away: their inverse Fourier transforms, and
    the transforms of their pulses and noise, lack neighbours.
    """

    def __init__(self, vocoder: IstftVocoder, seed: int = 0) -> None:
        fine = vocoder.fine
        # A sample depends on transforms that reach n_fft - hop around it, and so on samples twice as far.
        self.edges = -(-(2 * (fine.n_fft - fine.hop) - fine.edge) // vocoder.settings.hop)
        super().__init__(vocoder, vocoder.past + self.edges, vocoder.ahead + self.edges, seed)
        self._istft = vocoder
        self._turns: Tensor | None = (
            None  # at the centres of the last piece's frames, float64 [1, T]
        )
        self._start = 0  # number of the first of them

    def _spoken(self, kept: Tensor, first: int, begin: int, end: int) -> Tensor:
        vocoder, hop = self._istft, self.settings.hop
        past, ahead = vocoder.past, vocoder.ahead
        start = max(begin - self.edges, 0)
        stop = min(end + self.edges, first + kept.shape[1])
        # Before the first frame and behind the last there is silence.
        around = in_silence(kept, past, ahead, self.settings)
        around = around[:, start - first : stop - first + past + ahead]
        noise = self._noise(kept, first)
        assert noise is not None
        turn = self._turn(around, start)
        wave = vocoder.speak(around, noise[None, start - first : stop - first], turn)[0]
        return wave[(begin - start) * hop : (end - start) * hop]

    def _turn(self, around: Tensor, start: int) -> Tensor | None:
        """Where in its period the voice is at frame `start`, float64 [1]; None at the beginning."""
        vocoder = self._istft
        log_hertz, voiced = vocoder.read_pitch((around - CENTRE) / SCALE)
        inside = slice(vocoder.past + vocoder.ahead, None)
        turn = None if self._turns is None else self._turns[:, start - self._start]
        self._turns = pulse_turns(log_hertz[:, inside], voiced[:, inside], self.settings, turn)
        self._start = start
        return turn
