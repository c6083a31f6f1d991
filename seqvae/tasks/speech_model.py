"""`SpeechModel`: the user's handle on a trained speech model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.encoders import FrameEncoder
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import CONTENT
from seqvae.model import SequenceVAE
from seqvae.nn.mel import MelSpectrogram
from seqvae.tasks.chunks import Array, Chunking
from seqvae.tasks.convert import Conversion, convert
from seqvae.tasks.recording import Recording, SoundLike
from seqvae.tasks.speech_denoise import Method, denoise_speech
from seqvae.tasks.speech_interpolate import interpolate_voices
from seqvae.tasks.speech_reconstruct import reconstruct_speech
from seqvae.tasks.speech_sample import sample_speech
from seqvae.tasks.speech_score import SpeechScore, score_speech
from seqvae.tasks.voice import Voice, VoiceLike, voice
from seqvae.vocoders import GriffinLim, Vocoder, load_vocoder
from seqvae.vocoders.folder import match_settings


class SpeechModel:
    """A speech model with its vocoder; what `seqvae.load(run)` returns for a run on speech.

    Sounds are given as paths or as `Sound`, of any rate, and come back as `Sound`: mono, at the
    model's rate and the source's loudness. For what does not fit into memory there are the tasks'
    own functions, which give pieces, such as `seqvae.tasks.convert.convert`.

    Args:
        model: over log-mel frames; put into evaluation mode.
        settings: of these frames.
        speakers: names of the speakers it was trained with.
        vocoder: turns frames into sound; Griffin-Lim by default.
        info: facts about the run; `experiment` among them.

    Raises:
        UserError: the vocoder was made for other mel settings.
    """

    def __init__(
        self,
        model: SequenceVAE,
        settings: MelSettings,
        speakers: Sequence[str] = (),
        vocoder: Vocoder | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.eval()
        self.settings = settings
        self.speakers = list(speakers)
        self.info = dict(info or {})
        self.mel = MelSpectrogram(settings).to(self.device).eval()
        self.use_vocoder(GriffinLim().build(settings) if vocoder is None else vocoder)

    def use_vocoder(self, vocoder: Vocoder | str | Path) -> None:
        """Speak with this vocoder, or the one in this folder, from now on.

        Raises:
            UserError: not a vocoder, or it was made for other mel settings.
        """
        if not isinstance(vocoder, Vocoder):
            vocoder = load_vocoder(vocoder, self.settings)
        match_settings(vocoder.settings, self.settings, type(vocoder).__name__)
        self.vocoder = vocoder.to(self.device).eval()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @property
    def step(self) -> int:
        """Samples for one content vector."""
        encoder = self.model.levels[CONTENT].encoder
        assert isinstance(encoder, FrameEncoder)
        return encoder.stride * self.settings.hop

    @property
    def hears_voices(self) -> bool:
        """Whether a style encoder can take a voice from a recording."""
        return self.model.latent is not None

    def condition(self, style: Tensor | None, speaker: int | None) -> Tensor:
        """What the decoder hears of a voice, [C], of a style vector [D], a row of the table, or both."""
        with evaluating(self.model):
            rows = None if speaker is None else torch.tensor([speaker], device=self.device)
            styles = None if style is None else style[None].to(self.device)
            labels = rows if self.model.labels is not None else None
            return self.model.condition(styles, labels)[0]

    def recording(self, source: SoundLike) -> Recording:
        """A sound as the tasks read it; see `Recording`."""
        return source if isinstance(source, Recording) else Recording(source, self.settings)

    def voice(self, who: VoiceLike) -> Voice:
        """The voice of a speaker of the run or of recordings; see `seqvae.tasks.voice.voice`."""
        return voice(self, who)

    def convert(
        self,
        source: SoundLike,
        voice: VoiceLike,
        conversion: Conversion | None = None,
        *,
        own: VoiceLike | None = None,
        chunking: Chunking | None = None,
    ) -> Sound:
        """The source in another voice; see `seqvae.tasks.convert.convert`."""
        recording = self.recording(source)
        return self._whole(convert(self, recording, voice, conversion, own=own, chunking=chunking))

    def reconstruct(self, source: SoundLike, voice: VoiceLike | None = None) -> Sound:
        """The source written again; see `seqvae.tasks.speech_reconstruct.reconstruct_speech`."""
        return self._whole(reconstruct_speech(self, self.recording(source), voice))

    def denoise(
        self, source: SoundLike, voice: VoiceLike | None = None, *, method: Method = "mask"
    ) -> Sound:
        """The source with less noise; see `seqvae.tasks.speech_denoise.denoise_speech`."""
        return self._whole(denoise_speech(self, self.recording(source), voice, method=method))

    def sample(
        self,
        n: int = 3,
        seconds: float = 3.0,
        voice: VoiceLike | None = None,
        *,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[Sound]:
        """New sounds from the priors; see `seqvae.tasks.speech_sample.sample_speech`."""
        return sample_speech(self, n, seconds, voice, temperature=temperature, seed=seed)

    def interpolate(
        self,
        source: SoundLike,
        first: VoiceLike,
        last: VoiceLike,
        steps: int = 5,
        conversion: Conversion | None = None,
    ) -> list[Sound]:
        """The source in voices between two; see `seqvae.tasks.speech_interpolate`."""
        return interpolate_voices(self, source, first, last, steps, conversion)

    def score(
        self,
        source: SoundLike,
        voice: VoiceLike | None = None,
        *,
        samples: int = 4,
        seed: int = 0,
    ) -> SpeechScore:
        """How improbable the source is; see `seqvae.tasks.speech_score.score_speech`."""
        return score_speech(self, source, voice, samples=samples, seed=seed)

    def _whole(self, pieces: Iterator[Array]) -> Sound:
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        return Sound(samples, self.settings.sample_rate)
