"""What each kind of vocoder learns from a batch of crops."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from seqvae.data.speech.loader import RawFrames
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.training.vocoder_losses import SoundLoss, magnitude_loss
from seqvae.vocoders import Vocoder
from seqvae.vocoders.istft import IstftVocoder
from seqvae.vocoders.linear_head import CENTRE, SCALE, LinearHeadVocoder


@dataclass(frozen=True)
class Crops:
    """Pieces of recordings with `before` frames and `behind` frames around what is learned.

    Attributes:
        mel: [B, before + T + behind, mels]; silence behind recordings that are shorter.
        audio: [B, (before + T + behind) * hop].
        pitch: see `seqvae.data.speech.pitch.pitch_contour`, [B, before + T + behind, 3].
        before: frames.
        behind: frames.
    """

    mel: Tensor
    audio: Tensor
    pitch: Tensor
    before: int
    behind: int

    @classmethod
    def from_raw(
        cls, raw: RawFrames, settings: MelSettings, before: int, behind: int, device: torch.device
    ) -> "Crops":
        """The crops of a `CropLoader`."""
        assert raw.audio is not None
        frames = raw.values.shape[1]
        real = np.arange(frames) < raw.lengths[:, None]
        values = np.where(real[..., None], raw.values, np.float32(math.log(settings.floor)))
        mel, audio, pitch = (torch.from_numpy(x).to(device) for x in (values, raw.audio, raw.pitch))
        return cls(mel, audio, pitch, before, behind)

    def context(self, past: int, ahead: int) -> Tensor:
        """Frames with as much around them as a network sees."""
        size = self.mel.shape[1]
        return self.mel[:, self.before - past : size - self.behind + ahead]


class Lesson(ABC):
    """Turns crops into a loss.

    Attributes:
        before: frames that crops need before what is learned.
        behind: frames that they need behind it.
    """

    before: int
    behind: int

    @abstractmethod
    def loss(self, crops: Crops) -> dict[str, Tensor]:
        """Parts whose sum is the loss, by name."""


@final
class MagnitudeLesson(Lesson):
    """For `LinearHead`: the magnitudes of the recording itself."""

    def __init__(self, vocoder: LinearHeadVocoder) -> None:
        self.vocoder = vocoder
        settings = vocoder.settings
        edge = -(-settings.edge // settings.hop)
        self.before, self.behind = max(vocoder.past, edge), max(vocoder.ahead, edge)

    def loss(self, crops: Crops) -> dict[str, Tensor]:
        """See `Lesson.loss`."""
        settings = self.vocoder.settings
        begin = crops.before * settings.hop - settings.edge
        end = crops.audio.shape[1] - crops.behind * settings.hop + settings.edge
        spectra = self.vocoder.stft(crops.audio[:, begin:end])
        made = self.vocoder.log_magnitude(crops.context(self.vocoder.past, self.vocoder.ahead))
        return magnitude_loss(made, spectra.square().sum(2).sqrt())


@final
class SoundLesson(Lesson):
    """For `Istft`: the sound of the recording, and its pitch."""

    def __init__(self, vocoder: IstftVocoder) -> None:
        self.vocoder = vocoder
        self.before, self.behind = vocoder.past, vocoder.ahead
        self.distance = SoundLoss(vocoder.settings).to(next(vocoder.parameters()).device)

    def loss(self, crops: Crops) -> dict[str, Tensor]:
        """See `Lesson.loss`."""
        vocoder, hop = self.vocoder, self.vocoder.settings.hop
        wanted = crops.audio[:, self.before * hop : crops.audio.shape[1] - self.behind * hop]
        noise = torch.rand(len(wanted), wanted.shape[1] // hop, hop, device=wanted.device)
        parts: dict[str, Tensor] = self.distance(vocoder.speak(crops.mel, noise), wanted)
        # The reader sees no future: its frames are those `ahead` before what it reads.
        seen = crops.mel.shape[1] - vocoder.ahead
        heard = (crops.mel[:, vocoder.ahead :] - CENTRE) / SCALE
        parts["pitch"] = vocoder.pitch.nll(heard, crops.pitch[:, :seen]).mean() / seen
        return parts


def lesson_of(vocoder: Vocoder) -> Lesson:
    """What a vocoder learns.

    Raises:
        UserError: nothing.
    """
    if isinstance(vocoder, LinearHeadVocoder):
        return MagnitudeLesson(vocoder)
    if isinstance(vocoder, IstftVocoder):
        return SoundLesson(vocoder)
    raise UserError(f"{type(vocoder).__name__} has nothing to learn: choose Istft or LinearHead")
