"""Noise taken off a recording: the model says how loud each band of the clean sound would be."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.tasks.chunks import Array, Chunking
from seqvae.tasks.convert import speaking
from seqvae.tasks.recording import Recording
from seqvae.tasks.render import Window, joined, render
from seqvae.tasks.voice import VoiceLike, heard_voice
from seqvae.vocoders.stft import FastStft, Stft

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

Method = Literal["mask", "vocoder"]
DEEPEST = 0.03
"""Least gain of a band, -30 dB: a little noise left sounds better than holes."""


def denoise_speech(
    model: "SpeechModel",
    recording: Recording,
    voice: VoiceLike | None = None,
    *,
    method: Method = "mask",
    chunking: Chunking | None = None,
    seed: int = 0,
) -> Iterator[Array]:
    """The recording with less noise, in pieces; see `seqvae.tasks.render.joined`.

    For runs trained on noise: their encoder saw noisy frames and their decoder wrote the clean ones.

    Args:
        model: any speech model; a warning is given where it was not trained on noise.
        recording: what is read.
        voice: who speaks, where that is known; by default it is heard in the recording.
        method: mask: each band of the recording is turned down to what the model expects of the
            clean sound, so that what is kept is the recording itself, phase included; vocoder: the
            clean frames are spoken anew, which takes off any noise and puts the vocoder's sound on.
        chunking: how a long recording is cut.
        seed: of the vocoder's noise.

    Raises:
        UserError: no such voice, or `method` is unknown.
    """
    if method not in ("mask", "vocoder"):
        raise UserError(f"denoise: method is {method!r}; it must be mask or vocoder")
    if not trained_on_noise(model):
        warnings.warn(
            "this run was not trained on noise, so it will write the noise as well as it can; "
            "train one with noise mixed in: seqvae train DATA RUN --model.noise.probability 0.8",
            stacklevel=2,
        )
    who = heard_voice(model, [recording]) if voice is None else model.voice(voice)
    clean = speaking(model, who)
    if method == "vocoder":
        return render(model, recording, clean, chunking, seed)
    stft = FastStft(model.settings).to(model.device)

    def sound(window: Window) -> Array:
        with evaluating(model.model):
            gains = band_gains(clean(window) - window.mel, model.mel.filters)
            samples: Array = filtered(stft, window.samples, gains).cpu().numpy()
        return samples

    return joined(model, recording, sound, chunking)


def band_gains(difference: Tensor, filters: Tensor) -> Tensor:
    """Gains of the Fourier bins from those of the mel bins.

    Args:
        difference: clean less noisy natural log-mel, [1, T, mels].
        filters: of the mel bins, [bins, mels].

    Returns:
        shape [1, T, bins], between `DEEPEST` and 1: means of the mel bins' gains, weighted by their filters.

    The clean frames are as loud as clean recordings are, and the noisy ones with their noise, so that gains
    are up to 3 dB too high at 0 dB. Correcting that gains 0.4 dB of SI-SDR there and loses 0.8 dB at
    10 dB where frames are wrong by 0.3 (white and pink noise, 10 recordings); frames that are right gain
    10 dB at 0 dB.
    """
    gains = torch.exp(difference.clamp_max(0.0)).clamp_min(DEEPEST)
    weights = filters.sum(1)
    covered = weights > 0
    spread: Tensor = gains @ (filters / weights.clamp_min(1e-12)[:, None]).t()
    # Below the lowest filter and above the highest their gains go on.
    first, last = int(covered.nonzero()[0]), int(covered.nonzero()[-1])
    spread[..., :first] = spread[..., first : first + 1]
    spread[..., last + 1 :] = spread[..., last : last + 1]
    return spread


def filtered(stft: Stft, samples: Array, gains: Tensor) -> Tensor:
    """Samples [N] whose frames are multiplied by `gains` [1, N / hop, bins]."""
    wave = torch.from_numpy(samples).to(gains.device)[None, None]
    spectra = stft(F.pad(wave, (stft.edge, stft.edge), mode="reflect")[:, 0])
    return stft.trim(stft.inverse(spectra * stft.arrange(gains)[:, :, None]))[0]


def trained_on_noise(model: "SpeechModel") -> bool:
    """Whether the run's encoders heard noise in training."""
    experiment = model.info.get("experiment")
    return experiment is not None and bool(experiment.speech.noise.is_active)
