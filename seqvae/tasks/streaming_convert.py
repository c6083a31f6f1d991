"""Conversion while somebody speaks: samples in, samples out, a fixed time behind."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqvae.encoders import PitchReader
from seqvae.encoders.pitch import contour_of, course
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import CONTENT
from seqvae.likelihoods import FrameLikelihood
from seqvae.nn.streamed import streamed
from seqvae.tasks.chunks import Array
from seqvae.tasks.f0 import placed
from seqvae.tasks.frame_stream import FrameStream
from seqvae.tasks.recording import Recording
from seqvae.tasks.render import PEAK
from seqvae.tasks.vocoder_stream import vocoder_stream
from seqvae.tasks.voice import VoiceLike

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel


class StreamConverter:
    """Converts a voice as it is spoken, with a model that was trained to see no future.

    Its frames are those that `SpeechModel.convert` has for the whole sound. So are the samples that
    `push` and `flush` give, where the vocoder's context is bounded (that of Griffin-Lim is not).

    Args:
        model: a speech model with causal networks.
        voice: who shall speak.
        gain: factor on the samples to the loudness that the model was trained on, where speech has a
            root mean square of 0.06; it is taken back from what comes out.
        seed: of the vocoder's noise.

    Raises:
        UserError: a network looks ahead, there is no such voice, or the gain is not above 0.
    """

    def __init__(
        self, model: "SpeechModel", voice: VoiceLike, *, gain: float = 1.0, seed: int = 0
    ) -> None:
        if not 0 < gain < float("inf"):
            raise UserError(f"streaming: gain is {gain}; it must be above 0")
        network = model.model
        try:
            self._encoder = streamed(network.levels[CONTENT].encoder)
            self._decoder = streamed(network.decoder)
            self._pitch = None if network.pitch is None else PitchStream(network.pitch)
        except ValueError as error:
            raise UserError(
                f"streaming: this run looks ahead ({error}); train one that does not: seqvae train "
                "DATA RUN --model.content.causal True --model.pitch-reader.causal True "
                "--model.decoder.causal True"
            ) from None
        self.model, self.gain = model, gain
        self._voice = model.voice(voice)
        self._stride = model.step // model.settings.hop
        self._heard = FrameStream(model.mel, self._stride)
        self._spoken = vocoder_stream(model.vocoder, seed)
        self._in = self._out = 0

    @property
    def rate(self) -> int:
        """Samples per second, in and out, Hz."""
        return self.model.settings.sample_rate

    @property
    def latency(self) -> float:
        """Most seconds from a sample that goes in to the one that comes out for it, computing not counted.

        A block of frames must be there, half a window behind it, and the frames that the vocoder waits for.
        """
        settings, ahead = self.model.settings, self._spoken.ahead
        waits = (
            ((frame + ahead) // self._stride + 1) * self.model.step - frame * settings.hop
            for frame in range(self._stride)
        )
        return (max(waits) + settings.edge) / settings.sample_rate

    def push(self, samples: Array) -> Array:
        """What can be said after these samples, float32 [n] in, float32 [m] out; m may be 0.

        Raises:
            UserError: a sample is no number.
        """
        if not np.isfinite(samples).all():
            raise UserError("streaming: samples are NaN or infinite")
        self._in += len(samples)
        wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self.model.device)
        with evaluating(self.model.model):
            return self._ready(self._converted(self._heard.push(wave * self.gain)), last=False)

    def flush(self) -> Array:
        """What is left; as much came out then as went in."""
        with evaluating(self.model.model):
            return self._ready(self._converted(self._heard.flush()), last=True)

    def _converted(self, mel: Tensor) -> Tensor:
        """Frames [1, T, mels] in the other voice; T is whole blocks."""
        if not mel.shape[1]:
            return mel
        network = self.model.model
        x = network.likelihood.embed(mel)
        posterior = network.levels[CONTENT].posterior.frames(self._encoder(x))
        pitch = None if self._pitch is None else self._pitch.push(x)
        if pitch is not None:
            pitch = placed(pitch, self._voice.f0)
        condition = self._voice.condition[None]
        states = self._decoder(posterior.mean, condition, mel.shape[1], pitch)
        assert isinstance(network.likelihood, FrameLikelihood)
        return network.likelihood.mean(states)

    def _ready(self, mel: Tensor, *, last: bool) -> Array:
        wave = self._spoken.push(mel, last=last).float().cpu().numpy()
        if last:
            wave = wave[: self._in - self._out]
        self._out += len(wave)
        return np.clip(wave / self.gain, -PEAK, PEAK)


def stream_recording(
    model: "SpeechModel",
    recording: Recording,
    voice: VoiceLike,
    *,
    block: float = 0.02,
    seed: int = 0,
) -> Iterator[Array]:
    """A recording converted as if it were just being spoken, in pieces.

    Args:
        model: a speech model with causal networks.
        recording: what is said; its loudness is measured beforehand.
        voice: who shall say it.
        block: seconds that come in at once.
        seed: of the vocoder's noise.

    Raises:
        UserError: see `StreamConverter`.
    """
    converter = StreamConverter(model, voice, gain=recording.gain, seed=seed)
    size = max(round(block * converter.rate), 1)
    for samples in recording.blocks():
        for begin in range(0, len(samples), size):
            # The recording's blocks have the gain already; the converter gives it itself.
            yield converter.push(samples[begin : begin + size] / recording.gain)
    yield converter.flush()


class PitchStream:
    """The contour of a causal `PitchReader`, a block at a time.

    Raises:
        ValueError: the reader looks ahead.
    """

    def __init__(self, reader: PitchReader) -> None:
        copy = streamed(reader)
        assert isinstance(copy, PitchReader)
        self._reader = copy
        self._count = self._total = torch.zeros(1, 1, dtype=torch.float64)

    def push(self, x: Tensor) -> Tensor:
        """Contour [1, T, 3] of standardised frames [1, T, mels]."""
        log, voiced = self._reader.log_hertz(x)
        count = self._count.to(x.device) + voiced.double().cumsum(1)
        total = self._total.to(x.device) + (log * voiced).double().cumsum(1)
        self._count, self._total = count[:, -1:], total[:, -1:]
        return contour_of(course(log.double(), count, total).to(x.dtype), voiced, log)
