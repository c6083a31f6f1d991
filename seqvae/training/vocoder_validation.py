"""How far a vocoder is from the recordings of the validation split."""

import numpy as np
import torch
from torch.nn import functional as F

from seqvae.data.speech.store import SpeechStore
from seqvae.training.vocoder_losses import SoundLoss
from seqvae.vocoders import Vocoder

LONGEST = 640
"""Frames of a recording that are spoken at most: ten seconds."""


class VocoderValidation:
    """Speaks recordings and compares.

    Args:
        store: the recordings.
        count: how many of them, spread over all.
        device: where to compute.
    """

    def __init__(self, store: SpeechStore, count: int, device: torch.device) -> None:
        self.store, self.device = store, device
        self.indices = np.unique(np.linspace(0, len(store) - 1, count).astype(int)).tolist()
        self.distance = SoundLoss(store.settings).to(device)

    @torch.no_grad()
    def measure(self, vocoder: Vocoder) -> dict[str, float]:
        """Means over recordings: `stft` and `mel` as in `SoundLoss`, and `loss`, their sum."""
        was_training = vocoder.training
        vocoder.eval()
        sums = {"stft": 0.0, "mel": 0.0}
        for index in self.indices:
            mel = torch.from_numpy(self.store.mel(index, 0, LONGEST)).to(self.device)
            audio = torch.from_numpy(self.store.audio(index, 0, LONGEST)).to(self.device)
            made = vocoder(mel[None])
            # The longest window wants so many samples.
            missing = max(0, max(self.distance.sizes) - len(audio))
            made, wanted = (F.pad(x, (0, missing)) for x in (made, audio[None]))
            for name, value in self.distance(made, wanted).items():
                sums[name] += float(value) / len(self.indices)
        vocoder.train(was_training)
        return {"loss": sums["stft"] + sums["mel"], **sums}
